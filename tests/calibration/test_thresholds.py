import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from lddu import UnknownLabelWarning, metrics
from lddu.calibration import thresholds


@st.composite
def cases(draw):
    """Probabilities with ties and with 0, 1 and neighbouring floats."""
    shape = draw(st.tuples(st.integers(1, 10), st.integers(1, 3)))
    values = [0.0, 0.1, 0.3, 0.5, np.nextafter(0.5, 1), 0.9, 1.0]
    probs = draw(hnp.arrays(float, shape, elements=st.sampled_from(values)))
    return probs, draw(hnp.arrays(int, shape, elements=st.integers(0, 1)))


def brute_force(probs, labels, average):
    """The best F1 over every decision that a threshold can make."""
    return max(
        f1_score(labels, probs >= cut, average=average, zero_division=0)
        for cut in [*np.unique(probs), 2.0]
    )


@given(cases())
@settings(max_examples=40, deadline=None)
def test_shared_reaches_the_best_micro_f1(case):
    probs, labels = case
    threshold = thresholds.fit_shared(probs, labels)
    assert threshold.shape == ()
    assert 0 <= threshold <= 1
    best = brute_force(probs.reshape(-1, 1), labels.reshape(-1, 1), "binary")
    assert metrics.f1(metrics.threshold(probs, threshold), labels) == pytest.approx(best)
    if not labels.any():
        assert threshold == 0.5


@given(cases())
@settings(max_examples=40, deadline=None)
def test_per_label_reaches_the_best_f1_of_each_label(case):
    probs, labels = case
    fitted = thresholds.fit_per_label(probs, labels, fallback=0.4)
    scores = metrics.f1(metrics.threshold(probs, fitted), labels, "none")
    for c in range(labels.shape[1]):
        if labels[:, c].any():
            assert scores[c] == pytest.approx(brute_force(probs[:, [c]], labels[:, [c]], "binary"))
        else:
            assert fitted[c] == 0.4


def test_per_label_equals_one_label_at_a_time_on_many_samples():
    rng = np.random.default_rng(0)
    labels = rng.random((500, 4)) < [0.05, 0.2, 0.5, 0.8]
    probs = 1 / (1 + np.exp(-(rng.normal(size=(500, 4)) + 1.5 * labels)))
    fitted = thresholds.fit_per_label(probs, labels)
    alone = [thresholds.fit_shared(probs[:, [c]], labels[:, [c]]) for c in range(4)]
    np.testing.assert_array_equal(fitted, alone)
    rows = rng.permutation(500)
    np.testing.assert_array_equal(thresholds.fit_per_label(probs[rows], labels[rows]), fitted)
    macro = metrics.f1(metrics.threshold(probs, fitted), labels, "macro")
    for cut in np.linspace(0, 1, 21):
        assert macro >= metrics.f1(metrics.threshold(probs, cut), labels, "macro")


def test_values_by_hand():
    # Midway between neighbours; predicting everything is halfway to 0.
    assert thresholds.fit_shared([[0.2], [0.8]], [[0], [1]]) == pytest.approx(0.5)
    assert thresholds.fit_shared([[0.2], [0.8]], [[1], [0]]) == pytest.approx(0.1)
    # One hit of one, or two hits of four: F1 = 2/3 both at 0.85 and 0.35; the higher is taken.
    probs, labels = [[0.9], [0.8], [0.6], [0.4], [0.3]], [[1], [0], [0], [1], [0]]
    assert thresholds.fit_shared(probs, labels) == pytest.approx(0.85)
    # Hits 1 of 1, 2 of 5, 3 of 9 all have F1 = 1/2; the middle one is taken.
    probs, labels = np.linspace(0.9, 0.1, 9)[:, None], np.zeros((9, 1))
    labels[[0, 4, 8]] = 1
    assert thresholds.fit_shared(probs, labels) == pytest.approx(0.45)


def empirical_cost(decisions, labels, wrong, missed):
    return np.sum(wrong * (decisions & ~labels) + missed * (~decisions & labels))


@given(cases(), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([0.3, 1.0, 7.0]))
@settings(max_examples=40, deadline=None)
def test_fit_cost_reaches_the_least_cost(case, wrong, missed):
    probs, labels = case[0], case[1].astype(bool)
    wrong = wrong * np.arange(1, probs.shape[1] + 1)
    for per_label in (False, True):
        fitted = thresholds.fit_cost(probs, labels, wrong, missed, per_label)
        got = empirical_cost(metrics.threshold(probs, fitted), labels, wrong, missed)
        groups = [[c] for c in range(len(wrong))] if per_label else [slice(None)]
        best = sum(
            min(
                empirical_cost(probs[:, g] >= cut, labels[:, g], wrong[g], missed)
                for cut in [*np.unique(probs), 2.0]
            )
            for g in groups
        )
        assert fitted.shape == ((len(wrong),) if per_label else ())
        assert got == pytest.approx(best, abs=1e-9)


def test_cost_thresholds_by_hand():
    assert thresholds.cost_threshold(1.0, 1.0) == 0.5
    np.testing.assert_allclose(thresholds.cost_threshold([1.0, 3.0, 0.0], 1.0), [0.5, 0.75, 0.0])
    probs, labels = [[0.2], [0.6], [0.7]], [[0], [1], [0]]
    # A miss that costs little is not worth the one false alarm; a dear one is.
    assert thresholds.fit_cost(probs, labels, 1.0, 0.5) == pytest.approx(0.85)
    assert thresholds.fit_cost(probs, labels, 1.0, 3.0) == pytest.approx(0.4)
    assert thresholds.fit_cost([[1.0]], [[0]]) == 1.5
    # Costs of 1 x 0.3 and 3 x 0.1 tie, whatever rounding says; the higher cut is taken.
    tied = [[0.9], [0.8], [0.7], [0.6]], [[0], [1], [1], [1]]
    assert thresholds.fit_cost(*tied, 0.3, 0.1) == pytest.approx(0.95)


def test_on_calibrated_probabilities_the_closed_form_is_the_best_threshold():
    # 40 rows at each probability k / 40, k of them positive. At the closed form, k = 8, both costs
    # are equal, so that the fitted cut lies on one of its two sides, half a step away.
    k = np.repeat(np.arange(41), 40)
    labels = np.tile(np.arange(40), 41) < k
    fitted = thresholds.fit_cost(k[:, None] / 40, labels[:, None], 1.0, 4.0)
    assert abs(fitted - thresholds.cost_threshold(1.0, 4.0)) == pytest.approx(1 / 80)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ((-1.0, 1.0), "false_positive_cost .* >= 0"),
        ((1.0, np.nan), "false_negative_cost .* NaN"),
        (([0.0, 1.0], 0.0), "both 0"),
        (([1.0, 1.0], [1.0, 1.0, 1.0]), r"shapes differ: .*\(2,\).*\(3,\)"),
        (([1.0, 1.0, 1.0], 1.0), r"costs have shape \(3,\).*\(2,\)"),
    ],
)
def test_bad_costs(costs, message):
    with pytest.raises(ValueError, match=message):
        thresholds.fit_cost(np.full((3, 2), 0.4), np.ones((3, 2)), *costs)


def test_ties_are_never_split():
    probs, labels = [[0.5], [0.5], [0.5]], [[1], [0], [0]]
    threshold = thresholds.fit_shared(probs, labels)
    assert metrics.threshold(probs, threshold).all()
    close = np.array([[0.5], [np.nextafter(0.5, 1)]])
    decisions = metrics.threshold(close, thresholds.fit_shared(close, [[0], [1]]))
    np.testing.assert_array_equal(decisions, [[False], [True]])


def test_labels_with_few_positives_take_the_fallback():
    probs = np.array([[0.1, 0.1], [0.2, 0.2], [0.9, 0.9]])
    labels = np.array([[0, 0], [0, 1], [1, 1]])
    np.testing.assert_allclose(thresholds.fit_per_label(probs, labels), [0.55, 0.15])
    np.testing.assert_allclose(
        thresholds.fit_per_label(probs, labels, min_positives=2, fallback=0.3), [0.3, 0.15]
    )


def test_bad_input():
    probs, labels = np.full((3, 2), 0.4), np.ones((3, 2))
    for fit in (thresholds.fit_shared, thresholds.fit_per_label):
        with pytest.raises(ValueError, match=r"labels \(3, 2\) must lie in \[0, 1\]"):
            fit(probs, labels * 2)
        with pytest.raises(ValueError, match=r"labels \(3, 2\) are all unknown"):
            fit(probs, labels * np.nan)
        with pytest.raises(ValueError, match=r"probs \(3, 2\), labels \(2, 2\)"):
            fit(probs, labels[:2])
        with pytest.raises(ValueError, match=r"fallback .* must lie in"):
            fit(probs, labels, fallback=1.5)
    with pytest.raises(ValueError, match="min_positives=-1 must be at least 0"):
        thresholds.fit_per_label(probs, labels, min_positives=-1)


@st.composite
def partial_cases(draw):
    """Probabilities, labels with NaN, and whole weights with 0."""
    probs, labels = draw(cases())
    unknown = draw(hnp.arrays(bool, labels.shape))
    weights = draw(hnp.arrays(int, len(labels), elements=st.integers(0, 3)))
    weights[0], unknown[0] = 1, False
    return probs, np.where(unknown, np.nan, labels), weights


FITS = {
    "shared": thresholds.fit_shared,
    "per_label": thresholds.fit_per_label,
    "cost": functools.partial(thresholds.fit_cost, false_negative_cost=3.0),
    "cost_per_label": functools.partial(
        thresholds.fit_cost, false_negative_cost=3.0, per_label=True
    ),
}
every = pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())


@every
@given(partial_cases())
@settings(max_examples=25, deadline=None)
def test_whole_weights_are_copies_and_weight_0_is_absence(fit, case):
    probs, labels, weights = case
    rows = np.repeat(np.arange(len(probs)), weights)
    got = fit(probs, labels, weights=weights)
    np.testing.assert_array_equal(got, fit(probs[rows], labels[rows]))
    np.testing.assert_array_equal(got, fit(probs, labels, weights=0.3 * weights))


@every
@given(partial_cases())
@settings(max_examples=25, deadline=None)
def test_unknown_labels_are_absent(fit, case):
    probs, labels, weights = case
    got = fit(probs, labels, weights=weights)
    known = ~np.isnan(labels)
    if got.ndim:
        for c, rows in enumerate(known.T):
            alone = fit(probs[rows][:, [c]], labels[rows][:, [c]], weights=weights[rows])
            assert got[c] == alone[0]
    else:
        entries = np.broadcast_to(weights[:, None], labels.shape)[known]
        assert got == fit(probs[known][:, None], labels[known][:, None], weights=entries)


@every
@given(cases())
@settings(max_examples=25, deadline=None)
def test_a_soft_label_is_present_and_absent_in_proportion(fit, case):
    probs, labels = case
    soft = 0.25 + 0.5 * labels
    twice = np.repeat(probs, 4, axis=0)
    hard = np.arange(4)[:, None] < np.repeat(4 * soft, 4, axis=0).reshape(len(soft), 4, -1)
    np.testing.assert_array_equal(fit(probs, soft), fit(twice, hard.reshape(twice.shape)))


@given(partial_cases())
@settings(max_examples=25, deadline=None)
def test_weighted_f1_is_the_best_by_scikit_learn(case):
    probs, labels, weights = case
    known, weights = ~np.isnan(labels[:, 0]), weights + 0.5
    f1 = functools.partial(f1_score, labels[known, 0], sample_weight=weights[known])
    cut = thresholds.fit_shared(probs[:, :1], labels[:, :1], weights=weights)
    scores = [f1(probs[known, 0] >= t, zero_division=0) for t in (cut, *probs[known, 0])]
    assert scores[0] == pytest.approx(max(scores)) or not np.nansum(labels[:, 0])


def test_labels_that_nobody_knows_take_the_fallback_with_one_warning():
    probs = np.array([[0.1, 0.1], [0.2, 0.2], [0.9, 0.9]])
    labels = np.array([[np.nan, 0], [np.nan, 1], [np.nan, 1]])
    wanted = [
        (thresholds.fit_per_label, {}, 0.5),
        (thresholds.fit_per_label, {"fallback": 0.3}, 0.3),
        (FITS["cost_per_label"], {}, 0.25),
    ]
    for fit, options, want in wanted:
        with pytest.warns(UnknownLabelWarning, match="in column 0: ") as record:
            np.testing.assert_allclose(fit(probs, labels, **options), [want, 0.15])
        assert len(record) == 1
    assert thresholds.fit_shared(probs, labels) == thresholds.fit_shared(
        probs[:, 1:], labels[:, 1:]
    )
