import functools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import (
    BinaryClassificationController,
    MultiLabelClassificationController,
    control_fwer,
)
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from lddu.calibration import conformal
from lddu.calibration.conformal import testing

SPLITS = 500
FITS = {
    "rate": conformal.fit_false_negative_rate,
    "rate_per_label": conformal.fit_false_negative_rate_per_label,
    "precision": conformal.fit_precision,
    "precision_per_label": conformal.fit_precision_per_label,
}
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())


def simulate(n, c=4, seed=0, labelled=False):
    """Over-confident probabilities and labels from common (label 0) to rare (the last)."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, c)) - np.linspace(0, 2, c)
    labels = rng.random((n, c)) < 1 / (1 + np.exp(-logits))
    if labelled:
        labels[np.arange(n), np.argmax(logits, 1)] |= ~labels.any(1)
    return 1 / (1 + np.exp(-2 * logits)), labels


def missed(sets, labels):
    """(N,) share of each sample's true labels outside its set; 0 without any."""
    return np.sum(labels & ~sets, axis=1) / np.maximum(labels.sum(1), 1)


def false_share(sets, labels, empty):
    """The losses of `fit_precision` one by one."""
    size = sets.sum(1)
    share = np.sum(sets & ~labels, axis=1) / np.maximum(size, 1)
    return share[size > 0] if empty == "skip" else np.where(size > 0, share, empty == "zero")


def test_false_negative_rate_by_hand():
    probs = np.array([[0.9, 0.4], [0.1, 0.6], [0.7, 0.7]])
    labels = np.array([[1, 1], [0, 1], [0, 0]])
    # Missed one after another: 0.4 (half of a sample), 0.6 (a whole one), 0.9 (half). The sum of
    # losses may be 4 level - 1.
    for level, want in [
        (0.24, 0),
        (0.25, 0.4),
        (0.375, 0.6),
        (0.6, 0.6),
        (0.625, 0.9),
        (0.75, np.inf),
    ]:
        state = conformal.fit_false_negative_rate(probs, labels, level)
        assert state.threshold == want
        assert state.found == (level >= 0.25)
    sets = conformal.apply(conformal.fit_false_negative_rate(probs, labels, 0.375), probs)
    np.testing.assert_array_equal(sets, [[1, 0], [0, 1], [1, 1]])


def test_per_label_false_negative_rate_by_hand():
    probs = np.array([[0.5, 0.1, 0.3], [0.2, 0.2, 0.4], [0.9, 0.3, 0.5], [0.1, 0.4, 0.6]])
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
    # Three positives allow floor(4 * 0.5) - 1 = 1 miss, one positive none, and none says nothing.
    state = conformal.fit_false_negative_rate_per_label(probs, labels, 0.5)
    np.testing.assert_array_equal(state.threshold, [0.5, 0.1, 0.0])
    np.testing.assert_array_equal(state.found, [True, True, False])
    state = conformal.fit_false_negative_rate_per_label(probs, labels, 0.3)
    np.testing.assert_array_equal(state.threshold, [0.2, 0.0, 0.0])
    assert conformal.apply(state, probs)[:, 1:].all()


def test_rounding_costs_nothing_where_the_level_is_met_exactly():
    assert 1 / 49 * 49 < 1
    probs = np.linspace(0.1, 0.9, 48)[:, None]
    for fit in (
        conformal.fit_false_negative_rate,
        conformal.fit_false_negative_rate_per_label,
    ):
        assert fit(probs, np.ones((48, 1)), 1 / 49).threshold == 0.1
    # A budget of 12 / 21 * 21 - 1 = 11 samples is 33 thirds.
    assert np.cumsum(np.full(33, 1 / 3))[-1] > 11
    probs = np.linspace(0.1, 0.9, 60)
    state = conformal.fit_false_negative_rate(probs.reshape(20, 3), np.ones((20, 3)), 12 / 21)
    assert state.threshold == probs[33]


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_false_negative_rate_is_the_largest_threshold_that_holds(seed, n, k):
    rng = np.random.default_rng(seed)
    probs = rng.integers(0, 5, (n, 3)) / 4  # ties
    labels = rng.random((n, 3)) < 0.5
    labels[0, 0] = True
    level = Fraction(min(k, n), n + 1) if seed % 2 else Fraction(k, 13)

    def holds(t):
        out = [
            Fraction(int((y & (p < t)).sum()), int(max(y.sum(), 1)))
            for p, y in zip(probs, labels, strict=True)
        ]
        return (sum(out) + 1) / Fraction(n + 1) <= level

    want = max((t for t in (0, 0.25, 0.5, 0.75, 1, np.inf) if holds(t)), default=0)
    state = conformal.fit_false_negative_rate(probs, labels, float(level))
    assert state.threshold == want
    assert state.found == holds(0)


def test_false_negative_rate_is_kept_on_average_over_random_splits():
    probs, labels = simulate(400)
    level, n, rng = 0.15, 60, np.random.default_rng(1)
    rates, rates_per_label = [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(probs))
        fit, test = order[:n], order[n:]
        state = conformal.fit_false_negative_rate(probs[fit], labels[fit], level)
        rates.append(missed(conformal.apply(state, probs[test]), labels[test]).mean())
        state = conformal.fit_false_negative_rate_per_label(probs[fit], labels[fit], level)
        lost = labels[test] & ~conformal.apply(state, probs[test])
        rates_per_label.append(lost.sum(0) / labels[test].sum(0))
    error = 3 * np.std(rates) / np.sqrt(SPLITS)
    assert level - 2 / (n + 1) - error < np.mean(rates) < level + error
    # The last label has some ten positives in a calibration set, sometimes too few.
    error = 3 * np.std(rates_per_label, axis=0) / np.sqrt(SPLITS)
    assert np.all(np.mean(rates_per_label, axis=0) < level + error)
    assert np.mean(rates_per_label, axis=0)[0] > level - 2 / (n / 3)


@pytest.mark.parametrize(("empty", "level"), [("skip", 0.7), ("zero", 0.62), ("one", 0.71)])
def test_precision_is_kept_with_the_stated_confidence(empty, level):
    # Calibration sets are drawn from a pool with replacement, so the pool is the population.
    probs, labels = simulate(2000, labelled=True)
    confidence, n, rng = 0.9, 250, np.random.default_rng(2)
    grid = np.linspace(0, 0.95, 39)

    def precision(rows):
        return np.array(
            [1 - false_share(probs[rows] >= t, labels[rows], empty).mean() for t in grid]
        )

    true = np.append(precision(slice(None)), 1.0)  # 1 for never predicting anything
    violated, found, naive = [], [], []
    for i in range(SPLITS):
        rows = rng.integers(len(probs), size=n)
        state = conformal.fit_precision(probs[rows], labels[rows], level, confidence, empty, grid)
        violated.append(true[np.searchsorted(grid, state.threshold)] < level)
        found.append(state.found)
        if i < 100:
            naive.append(true[np.argmax(np.append(precision(rows), 1.0) >= level)] < level)
    tolerance = 3 * np.sqrt(confidence * (1 - confidence) / SPLITS)
    assert np.mean(violated) < 1 - confidence + tolerance < np.mean(naive)
    assert np.mean(found) > 0.3


def test_precision_per_label_is_kept_with_the_stated_confidence():
    probs, labels = simulate(2000)
    level, confidence, n, rng = 0.7, 0.8, 400, np.random.default_rng(3)
    grid = np.linspace(0, 0.95, 20)
    true = [(labels & (probs >= t)).sum(0) / (probs >= t).sum(0) for t in grid]
    true = np.array([*true, np.ones(4)])
    violations, found = [], []
    for _ in range(SPLITS):
        rows = rng.integers(len(probs), size=n)
        state = conformal.fit_precision_per_label(
            probs[rows], labels[rows], level, confidence, grid
        )
        violations.append(true[np.searchsorted(grid, state.threshold), np.arange(4)] < level)
        found.append(state.found)
    tolerance = 3 * np.sqrt(confidence * (1 - confidence) / SPLITS)
    assert np.all(np.mean(violations, axis=0) < 1 - confidence + tolerance)
    assert np.mean(found, axis=0)[0] > 0.9


def test_precision_by_hand():
    # n correct predictions out of n prove a precision of 0.8 with p-value 0.8^n.
    for fit in (conformal.fit_precision, conformal.fit_precision_per_label):
        ones = np.ones((21, 1))
        assert not fit(ones[:10], ones[:10], 0.8, 0.9, grid=[0.5]).found.any()  # 0.107
        assert fit(ones[:11], ones[:11], 0.8, 0.9, grid=[0.5]).threshold == 0.5  # 0.086
        # Holm: the smaller of two p-values must be at most 0.05.
        assert not fit(ones[:13], ones[:13], 0.8, 0.9, grid=[0.4, 0.5]).found.any()  # 0.055
        assert fit(ones[:14], ones[:14], 0.8, 0.9, grid=[0.4, 0.5]).threshold == 0.4  # 0.044


def test_what_an_empty_set_counts():
    # Of 200 samples half have a set, of which 85 are right.
    probs = np.repeat([0.9, 0.1], 100)[:, None]
    labels = (np.arange(200) < 85)[:, None]
    fit = functools.partial(conformal.fit_precision, probs, labels, grid=[0.5])
    # Precision 0.85, 0.425 and 0.925.
    assert [bool(fit(level=0.7, empty=e).found) for e in ("skip", "zero", "one")] == [1, 0, 1]
    assert [bool(fit(level=0.87, empty=e).found) for e in ("skip", "zero", "one")] == [0, 0, 1]
    assert [bool(fit(level=0.3, empty=e).found) for e in ("skip", "zero", "one")] == [1, 1, 1]


@pytest.mark.parametrize("empty", ["skip", "zero", "one"])
@pytest.mark.parametrize("seed", range(4))
def test_precision_equals_plain_losses_with_the_tests_of_mapie(empty, seed):
    probs, labels = simulate(300, seed=seed)
    probs, grid = np.round(probs, 1), np.linspace(0, 1, 21)  # ties, also with the grid
    losses = [false_share(probs >= t, labels, empty) for t in grid]
    n = np.array([max(len(x), 1) for x in losses])
    mean = np.array([x.mean() if len(x) else 1.0 for x in losses])
    p_values = compute_hoeffding_bentkus_p_value(mean, n, 0.3)[:, 0]
    rejected = control_fwer(p_values, 0.1, "bonferroni_holm")
    want = grid[rejected].min() if len(rejected) else np.inf
    assert conformal.fit_precision(probs, labels, 0.7, 0.9, empty, grid).threshold == want


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_false_negative_rate_equals_mapie_up_to_its_grid(level):
    probs, labels = simulate(80, labelled=True, seed=5)
    grid = np.arange(0, 1, 0.01)
    theirs = MultiLabelClassificationController(
        lambda x: x, risk="recall", method="crc", target_level=1 - level, predict_params=grid
    ).calibrate(probs, labels.astype(int))
    ours = conformal.fit_false_negative_rate(probs, labels, level).threshold
    assert theirs.best_predict_param[0] <= ours <= theirs.best_predict_param[0] + 0.01


@pytest.mark.filterwarnings(r"ignore:\s+Warning. the risk", "ignore:No predict parameters")
@pytest.mark.parametrize("level", [0.4, 0.5, 0.6, 0.95])
def test_precision_equals_mapie(level):
    probs, labels = simulate(300, labelled=True, seed=6)
    grid = np.linspace(0, 1, 51)
    theirs = MultiLabelClassificationController(
        lambda x: x, risk="precision", target_level=level, confidence_level=0.9, predict_params=grid
    ).calibrate(probs, labels.astype(int))
    ours = conformal.fit_precision(probs, labels, level, 0.9, "zero", grid)
    assert ours.found == (level < 0.9)
    assert ours.threshold == np.nan_to_num(theirs.best_predict_param[0], nan=np.inf)
    np.testing.assert_array_equal(
        conformal.apply(ours, probs), theirs.predict(probs)[:, :, 0].astype(bool)
    )


@pytest.mark.filterwarnings("ignore:No predict parameters")
def test_precision_per_label_equals_binary_mapie():
    probs, labels = simulate(400, seed=7)
    grid = np.linspace(0.01, 0.99, 50)
    ours = conformal.fit_precision_per_label(probs, labels, 0.65, 0.9, grid)
    assert ours.found.tolist() == [True, True, True, False]
    for c in range(4):
        theirs = BinaryClassificationController(
            lambda p: np.stack([1 - p[:, 0], p[:, 0]], axis=1),
            risk="precision",
            target_level=0.65,
            confidence_level=0.9,
            list_predict_params=grid,
        ).calibrate(probs[:, [c]], labels[:, c].astype(int))
        assert ours.threshold[c] == (theirs.best_predict_param or np.inf)


def test_p_values_equal_scipy():
    n = np.array([0, 1, 30, 30, 500, 100_000, 100_000])
    errors = np.array([0, 0, 0, 5, 80, 19_000, 19_900])
    got = testing.binomial(errors, n, 0.2)
    np.testing.assert_allclose(got[1:], binom.cdf(errors, n, 0.2)[1:], rtol=1e-6)
    assert got[0] == 1
    losses = errors[1:] - np.array([0, 0, 0.5, 0.25, 0.1, 0.9])
    want = compute_hoeffding_bentkus_p_value(losses / n[1:], n[1:], 0.2)[:, 0]
    got = testing.hoeffding_bentkus(losses, n[1:], 0.2)
    np.testing.assert_allclose(got, np.minimum(want, 1), rtol=1e-6)
    # A sum that is whole but for rounding is whole.
    whole = testing.hoeffding_bentkus(np.array([5.0, 5 + 1e-12]), np.array([60, 60]), 0.2)
    assert whole[1] == pytest.approx(whole[0])


@given(st.integers(0, 10_000), st.floats(0.01, 0.98), st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_thresholds_grow_with_the_level(seed, level, more):
    # More misses allowed, or more precision wanted, means smaller sets.
    probs, labels = simulate(60, seed=seed)
    labels[0, 0] = True
    higher = level + more * (0.99 - level)
    for fit in FITS.values():
        assert np.all(fit(probs, labels, higher).threshold >= fit(probs, labels, level).threshold)


@every_fit
def test_the_order_of_samples_does_not_matter(fit):
    probs, labels = simulate(200)
    order = np.random.default_rng(0).permutation(200)
    for a, b in zip(fit(probs, labels, 0.5), fit(probs[order], labels[order], 0.5), strict=True):
        np.testing.assert_array_equal(a, b)


@every_fit
def test_float32_probabilities_meet_their_own_threshold(fit):
    probs, labels = simulate(200)
    probs = probs.astype(np.float32)
    cut = fit(probs, labels, 0.3).threshold
    exact = conformal.apply(fit(probs, labels, 0.3), probs)
    np.testing.assert_array_equal(exact, probs.astype(np.float64) >= cut)


def test_fallbacks_include_everything_or_nothing():
    probs, labels = simulate(5)
    for fit in list(FITS.values())[:2]:
        state = fit(probs, labels, 0.1)
        assert not np.any(state.found)
        assert conformal.apply(state, np.zeros((1, 4))).all()
    for fit in list(FITS.values())[2:]:
        state = fit(probs, labels, 0.9)
        assert not np.any(state.found)
        assert not conformal.apply(state, np.ones((1, 4))).any()


@every_fit
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.ones((4, 3))}, r"probs \(4, 2\), labels \(4, 3\)"),
        ({"probs": np.full((4, 2), np.nan)}, r"probs \(4, 2\) holds 8 NaN"),
        ({"probs": np.full((4, 2), 2.0)}, r"probs \(4, 2\) must lie in \[0, 1\]"),
        ({"labels": np.full((4, 2), 0.5)}, r"labels \(4, 2\) must be 0 or 1.*binarise"),
        ({"labels": np.zeros((4, 2))}, r"labels \(4, 2\) has no positives.*calibrate on more"),
        ({"probs": np.ones(4), "labels": np.ones(4)}, r"probs has shape \(4,\)"),
        ({"level": 0.0}, "level=0.0 must lie strictly between 0 and 1"),
        ({"level": 1.0}, "level=1.0 must lie"),
        ({"level": np.nan}, "level=nan must lie"),
    ],
)
def test_bad_input(fit, change, message):
    arguments = {"probs": np.full((4, 2), 0.5), "labels": np.ones((4, 2)), "level": 0.5}
    with pytest.raises(ValueError, match=message):
        fit(**arguments | change)


def test_bad_input_to_precision_and_apply():
    probs, labels = simulate(20)
    for fit in (conformal.fit_precision, conformal.fit_precision_per_label):
        with pytest.raises(ValueError, match="confidence=1 must lie strictly"):
            fit(probs, labels, 0.5, 1)
        with pytest.raises(ValueError, match=r"grid \(1,\) must lie in \[0, 1\]"):
            fit(probs, labels, 0.5, grid=[2.0])
        with pytest.raises(ValueError, match=r"grid has shape .*empty"):
            fit(probs, labels, 0.5, grid=[])
    with pytest.raises(ValueError, match="empty='none'; choose one of 'skip', 'zero', 'one'"):
        conformal.fit_precision(probs, labels, 0.5, empty="none")
    state = conformal.fit_precision_per_label(probs, labels, 0.5)
    with pytest.raises(ValueError, match=r"probs has shape \(2, 3\).*4 labels"):
        conformal.apply(state, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"probs .* NaN"):
        conformal.apply(state, np.full((2, 4), np.nan))
