"""Unknown labels (NaN) and weights of rows in conformal control."""

import functools

import numpy as np
import pytest

from lddu import UnknownLabelWarning
from lddu.calibration import conformal

RATES = (conformal.fit_false_negative_rate, conformal.fit_false_negative_rate_per_label)
PRECISIONS = (conformal.fit_precision, conformal.fit_precision_per_label)
SPLITS = 500
DEVIATIONS = 6.0  # standard errors by which a mean over splits may be off: a chance below 1e-8


def options(fit):
    return {"grid": np.linspace(0.9, 0.1, 9)} if fit in PRECISIONS else {}


def same(one, other):
    np.testing.assert_array_equal(one.threshold, other.threshold)
    np.testing.assert_array_equal(one.found, other.found)


@pytest.mark.parametrize(
    ("probs", "labels", "want"),
    [
        # Two samples count; of the first, one true label is known and two are predicted.
        ([[0.9, 0.4], [0.6, 0.1]], [[np.nan, 1], [1, 0]], 0.4),
        ([[0.9, 0.4], [0.6, 0.1], [0.2, 0.3]], [[1, np.nan], [1, 0], [np.nan] * 2], 0.6),
        ([[0.9, 0.4], [0.6, 0.1], [0.2, 0.3]], [[1, np.nan], [1, 0], [0, np.nan]], 0.6),
    ],
)
def test_the_loss_is_over_known_true_labels(probs, labels, want):
    # The sum of the losses may be 3 level - 1.
    assert conformal.fit_false_negative_rate(probs, labels, 0.65).threshold == want
    assert conformal.fit_false_negative_rate(probs, labels, 0.34).threshold == want


def test_precision_is_of_known_predicted_labels():
    probs = np.tile([0.9, 0.8, 0.3], (100, 1))
    labels = np.tile([1, np.nan, 0], (100, 1))
    # Above 0.8 all that is known is true; below 0.3 one half is.
    fit = functools.partial(conformal.fit_precision, probs, labels, grid=[0.85, 0.5, 0.2])
    assert fit(level=0.9).threshold == 0.5
    assert fit(level=0.45).threshold == 0.2
    # Unknown labels as false: one half above 0.5, a third below.
    cautious = functools.partial(conformal.fit_precision, probs, np.nan_to_num(labels))
    assert cautious(level=0.9, grid=[0.85, 0.5]).threshold == 0.85
    # With nothing known among the predicted, a set counts as an empty one.
    labels = np.tile([np.nan, 1, 0], (100, 1))
    found = [
        conformal.fit_precision(probs, labels, 0.9, empty=e, grid=[0.85]).found
        for e in ("skip", "zero", "one")
    ]
    assert found == [False, False, True]


@pytest.mark.parametrize("fit", RATES + PRECISIONS)
def test_rows_of_weight_0_and_of_unknown_labels_are_absent(fit, simulate):
    probs, labels = simulate(120)
    labels = np.where(np.random.default_rng(0).random(labels.shape) < 0.2, np.nan, labels)
    weights, groups = np.ones(120), np.arange(120) // 2
    weights[::3], labels[1::3] = 0, np.nan
    kept = np.arange(120) % 3 == 2
    rest = {"groups": groups, **options(fit)}
    want = fit(probs[kept], labels[kept], 0.5, **rest | {"groups": groups[kept]})
    same(fit(probs, labels, 0.5, weights=weights, **rest), want)
    assert np.any(want.found)


@pytest.mark.parametrize("fit", [RATES[1], PRECISIONS[1]])
def test_each_label_is_controlled_on_the_rows_where_it_is_known(fit, simulate):
    probs, labels = simulate(200)
    labels = np.where(np.random.default_rng(0).random(labels.shape) < 0.3, np.nan, labels)
    state = fit(probs, labels, 0.5)
    for c in range(4):
        rows = ~np.isnan(labels[:, c])
        alone = fit(probs[rows][:, [c]], labels[rows][:, [c]], 0.5)
        assert (state.threshold[c], state.found[c]) == (alone.threshold[0], alone.found[0])


@pytest.mark.parametrize("fit", [RATES[1], PRECISIONS[1]])
def test_a_label_that_nobody_knows_is_not_found_with_one_warning(fit, simulate):
    probs, labels = simulate(200)
    with pytest.warns(UnknownLabelWarning, match="in column 2: ") as record:
        state = fit(probs, np.where(np.arange(4) == 2, np.nan, labels), 0.6)
    assert len(record) == 1
    assert state.found.tolist()[:2] == [True, True]
    assert not state.found[2]
    with pytest.raises(ValueError, match=r"labels \(200, 4\) are all unknown"):
        fit(probs, labels * np.nan, 0.6)


@pytest.mark.parametrize("fit", RATES)
def test_only_ratios_of_weights_count_and_copies_are_weights_with_one_new_row(fit, simulate):
    probs, labels = simulate(100)
    weights = np.random.default_rng(0).integers(0, 4, 100)
    rows = np.repeat(np.arange(100), weights)
    for level in (0.1, 0.3):
        want = fit(probs[rows], labels[rows], level)
        same(fit(probs, labels, level, weights=weights, max_weight=1.0), want)
        same(fit(probs, labels, level, weights=0.1 * weights, max_weight=0.1), want)
        same(fit(probs, labels, level, weights=np.full(100, 7.0)), fit(probs, labels, level))
        same(
            fit(probs, labels, level, weights=weights),
            fit(probs, labels, level, weights=weights, max_weight=3.0),
        )
        heavier = fit(probs, labels, level, weights=weights, max_weight=9.0)
        assert np.all(heavier.threshold <= want.threshold)


def shifted(n, rng):
    """Samples of which labels are rarer and less predictable the higher x; p(x) is uniform.

    Returns probabilities and labels (n, 2) and the ratio of densities 2 x, by which new samples
    have the density 2 x on [0, 1].
    """
    x = rng.random(n)
    z = rng.standard_normal((n, 2)) * 2
    labels = rng.random((n, 2)) < 1 / (1 + np.exp(-z * (1.5 - 1.5 * x[:, None])))
    return 1 / (1 + np.exp(-z)), labels, 2 * x


def under_shift(values, counted, ratio):
    """Mean over new samples that count."""
    return np.average(values[counted], weights=ratio[counted])


@pytest.mark.parametrize("per_label", [False, True])
def test_weights_keep_the_false_negative_rate_under_covariate_shift(per_label):
    rng, level = np.random.default_rng(0), 0.2
    probs, labels, ratio = shifted(4000, rng)
    fit = RATES[per_label]
    rates = {"weighted": [], "plain": []}
    for _ in range(SPLITS):
        # From a pool with replacement, so that the pool is the population.
        drawn = rng.integers(4000, size=100)
        known = {"weighted": {"weights": ratio[drawn], "max_weight": 2.0}, "plain": {}}
        for name, out in rates.items():
            state = fit(probs[drawn], labels[drawn], level, **known[name])
            lost = labels & ~conformal.apply(state, probs)
            if per_label:
                out.append(under_shift(lost[:, 0], labels[:, 0], ratio))
            else:
                share = lost.sum(1) / np.maximum(labels.sum(1), 1)
                out.append(under_shift(share, labels.any(1), ratio))
    error = {k: DEVIATIONS * np.std(v) / np.sqrt(SPLITS) for k, v in rates.items()}
    # The bound 2 on the weight costs up to 2 / (sum of the weights that count).
    slack = 3 * 2 / 50
    assert level - slack - error["weighted"] < np.mean(rates["weighted"])
    assert np.mean(rates["weighted"]) < level + error["weighted"]
    assert np.mean(rates["plain"]) > level + error["plain"]


@pytest.mark.parametrize(("per_label", "level"), [(False, 0.7), (True, 0.65)])
def test_weights_keep_precision_under_covariate_shift_with_the_stated_confidence(per_label, level):
    rng, splits = np.random.default_rng(1), 100
    probs, labels, ratio = shifted(4000, rng)
    fine = np.linspace(0, 1, 101)
    true = []
    for cut in fine:
        sets = probs >= cut
        if per_label:
            counted, false = sets[:, 0], (sets & ~labels)[:, 0]
        else:
            size = sets.sum(1)
            counted, false = size > 0, np.sum(sets & ~labels, 1) / np.maximum(size, 1)
        true.append(1 - under_shift(false, counted, ratio) if counted.any() else 1)
    short, found = {"weighted": [], "plain": []}, []
    grid = np.linspace(0.9, 0.3, 7)
    for _ in range(splits):
        drawn = rng.integers(4000, size=300)
        known = {"weighted": {"weights": ratio[drawn], "max_weight": 2.0}, "plain": {}}
        for name, out in short.items():
            arguments = probs[drawn], labels[drawn], level
            state = PRECISIONS[per_label](*arguments, grid=grid, **known[name])
            cut = np.ravel(state.threshold)[0]
            out.append(np.isfinite(cut) and np.interp(cut, fine, true) < level)
            found.append(np.isfinite(cut))
    bound = 0.1 + 5 * np.sqrt(0.09 / splits)  # a chance below 1e-6
    assert np.mean(short["weighted"]) < bound < np.mean(short["plain"])
    assert np.mean(found[::2]) > 0.1


def test_the_rate_of_known_labels_is_kept_where_labels_become_known_by_chance(simulate):
    probs, labels = simulate(2000)
    rng, level, rates = np.random.default_rng(0), 0.2, []
    # Whether a label becomes known depends on how probable it is.
    known = rng.random(labels.shape) < 0.1 + 0.8 * probs
    labels = np.where(known, labels, np.nan)
    true = labels == 1
    for _ in range(SPLITS):
        drawn = rng.integers(2000, size=80)
        state = conformal.fit_false_negative_rate(probs[drawn], labels[drawn], level)
        lost = true & ~conformal.apply(state, probs)
        rates.append(np.mean((lost.sum(1) / np.maximum(true.sum(1), 1))[true.any(1)]))
    error = DEVIATIONS * np.std(rates) / np.sqrt(SPLITS)
    assert level - 2 / 30 - error < np.mean(rates) < level + error


def test_bad_weights(fit_sets, simulate):
    probs, labels = simulate(8)
    labels[0, 0] = True
    weights, groups = np.arange(8) + 1.0, np.arange(8) // 2
    fit = functools.partial(fit_sets, probs, labels, 0.5)
    with pytest.raises(ValueError, match=r"weights has shape \(3,\)"):
        fit(weights=np.ones(3))
    with pytest.raises(ValueError, match="weights differ between rows of one group"):
        fit(weights=weights, groups=groups, max_weight=10.0)
    for bound in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"max_weight={bound} must be finite and > 0"):
            fit(max_weight=bound)
    if fit_sets in PRECISIONS:
        with pytest.raises(ValueError, match="weights differ, so that max_weight is needed"):
            fit(weights=weights)
        with pytest.raises(ValueError, match="weights reach 8, above max_weight=2"):
            fit(weights=weights, max_weight=2)
