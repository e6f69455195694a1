import functools

import numpy as np
import pytest
from mapie.risk_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from lddu.calibration import conformal
from lddu.calibration.conformal import testing

DEVIATIONS = 5.0  # how many standard errors a rate may be off: a chance below 1e-6


def losses(probs, labels, grid, empty):
    """The losses of `fit_precision` and which of them count, set by set."""
    out, counted = np.empty((2, len(probs), len(grid)))
    for j, t in enumerate(grid):
        sets = probs >= t
        size = sets.sum(1)
        share = np.sum(sets & ~labels, axis=1) / np.maximum(size, 1)
        out[:, j] = np.where(size > 0, share, empty == "zero")
        counted[:, j] = (size > 0) | (empty != "skip")
    return out, counted > 0


def violation_bound(confidence, splits):
    return 1 - confidence + DEVIATIONS * np.sqrt(confidence * (1 - confidence) / splits)


@pytest.mark.parametrize(
    ("empty", "level", "splits"), [("skip", 0.7, 500), ("zero", 0.6, 300), ("one", 0.75, 300)]
)
def test_precision_is_kept_with_the_stated_confidence(simulate, empty, level, splits):
    # Calibration sets are drawn from a pool with replacement, so the pool is the population.
    probs, labels = simulate(2000, labelled=True)
    confidence, rng = 0.9, np.random.default_rng(2)
    fine = np.unique(np.quantile(probs, np.linspace(0, 1, 400)))
    loss, counted = losses(probs, labels, fine, empty)
    true = 1 - (loss * counted).sum(0) / counted.sum(0)
    thresholds, naive = [], []
    for _ in range(splits):
        drawn = rng.integers(len(probs), size=120)
        state = conformal.fit_precision(probs[drawn], labels[drawn], level, confidence, empty)
        thresholds.append(state.threshold)
        seen = 1 - (loss[drawn] * counted[drawn]).sum(0) / np.maximum(counted[drawn].sum(0), 1)
        naive.append(np.append(true, 1.0)[np.argmax(np.append(seen, 1.0) >= level)] < level)
    thresholds = np.array(thresholds)
    found = np.isfinite(thresholds)
    violated = found & (np.interp(thresholds, fine, true) < level)
    assert np.mean(violated) < violation_bound(confidence, splits)
    # The first threshold that looks good enough falls short more often, and the tests are not so
    # strict as to find nothing.
    assert np.mean(naive) > violation_bound(confidence, splits)
    assert np.mean(found) > 0.25


def test_precision_per_label_is_kept_with_the_stated_confidence(simulate):
    probs, labels = (x[:, :3:2] for x in simulate(2000))
    level, confidence, splits, rng = 0.7, 0.8, 500, np.random.default_rng(3)
    fine = np.unique(np.quantile(probs, np.linspace(0, 1, 400)))
    true = [(labels & (probs >= t)).sum(0) / np.maximum((probs >= t).sum(0), 1) for t in fine]
    true = np.where((probs >= fine[:, None, None]).any(1), true, 1.0)
    violations, found = [], []
    for _ in range(splits):
        rows = rng.integers(len(probs), size=200)
        state = conformal.fit_precision_per_label(probs[rows], labels[rows], level, confidence)
        reached = [np.interp(t, fine, y) for t, y in zip(state.threshold, true.T, strict=True)]
        violations.append(state.found & (np.array(reached) < level))
        found.append(state.found)
    assert np.all(np.mean(violations, axis=0) < violation_bound(confidence, splits))
    assert np.mean(found, axis=0)[0] > 0.9


def test_far_more_is_found_than_by_hoeffding_bentkus_with_holms_correction():
    # Calibrated probabilities of six labels; on average 0.7 of them can be predicted.
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 101)
    ours, theirs = [], []
    for _ in range(150):
        probs = 1 / (1 + np.exp(1.8 - 1.5 * rng.standard_normal((200, 6))))
        labels = rng.random(probs.shape) < probs
        ours.append(conformal.fit_precision(probs, labels, 0.65).found)
        loss, counted = losses(probs, labels, grid, "skip")
        n = np.maximum(counted.sum(0), 1)
        mean = np.where(counted.any(0), (loss * counted).sum(0) / n, 1.0)
        p_values = compute_hoeffding_bentkus_p_value(mean, n, 0.35)[:, 0]
        theirs.append(len(control_fwer(p_values, 0.1, "bonferroni_holm")) > 0)
    # The rates are near 0.6 and 0.2; the standard error of their difference is below 0.06.
    assert np.mean(ours) > np.mean(theirs) + 0.1


def test_precision_by_hand():
    # n correct predictions out of n prove a precision of 0.8 with p-value 0.8^n.
    for fit in (conformal.fit_precision, conformal.fit_precision_per_label):
        ones = np.ones((21, 1))
        assert not fit(ones[:10], ones[:10], 0.8, 0.9, grid=[0.5]).found.any()  # 0.107
        assert fit(ones[:11], ones[:11], 0.8, 0.9, grid=[0.5]).threshold == 0.5  # 0.086
        # More thresholds need no more evidence, as long as the higher ones hold.
        assert fit(ones[:11], ones[:11], 0.8, 0.9, grid=[0.4, 0.5]).threshold == 0.4
        # Nothing is predicted at the highest threshold, so no other is tested.
        assert not fit(0.9 * ones, ones, 0.8, 0.9, grid=[0.4, 0.95]).found.any()
    # With two labels the losses are bet on; losing everything on an error, the wealth is 0.8^-n.
    ones = np.ones((11, 2))
    assert conformal.fit_precision(ones, ones, 0.8, 0.9, grid=[0.5]).found
    assert not conformal.fit_precision(ones[:10], ones[:10], 0.8, 0.9, grid=[0.5]).found


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
@pytest.mark.parametrize("seed", range(3))
def test_precision_equals_plain_losses_in_the_sequence_of_mapie(simulate, empty, seed):
    probs, labels = simulate(300, seed=seed, labelled=True)
    probs, grid = np.round(probs, 1), np.linspace(0.8, 0, 17)  # ties, also with the grid
    order = np.argsort(np.random.default_rng(7).permutation(300))
    p_values = testing.betting(*losses(probs[order], labels[order], grid, empty), 0.4, 0.1)
    rejected = control_fwer(p_values, 0.1, "fixed_sequence")
    want = grid[rejected[-1]] if len(rejected) else np.inf
    state = conformal.fit_precision(probs, labels, 0.6, 0.9, empty, grid, seed=7)
    assert state.threshold == want


def test_precision_per_label_equals_binomial_tests_of_scipy_in_the_sequence_of_mapie(simulate):
    probs, labels = simulate(400, seed=7)
    grid = np.linspace(0.9, 0.1, 50)
    state = conformal.fit_precision_per_label(probs, labels, 0.65, 0.9, grid)
    assert state.found.any()
    for c in range(4):
        predicted = probs[:, [c]] >= grid
        errors = np.sum(predicted & ~labels[:, [c]], axis=0)
        rejected = control_fwer(binom.cdf(errors, predicted.sum(0), 0.35), 0.1, "fixed_sequence")
        assert state.threshold[c] == (grid[rejected[-1]] if len(rejected) else np.inf)


def test_each_label_is_controlled_as_if_alone(simulate):
    probs, labels = simulate(300)
    state = conformal.fit_precision_per_label(probs, labels, 0.65, seed=3)
    for c in range(4):
        alone = conformal.fit_precision(probs[:, [c]], labels[:, [c]], 0.65, seed=3)
        assert state.threshold[c] == alone.threshold


@pytest.mark.parametrize("rows", [1, 2, 9, 12])
def test_few_samples_are_enough_or_not_but_never_an_error(rows):
    probs, labels = np.full((rows, 3), 0.9), np.ones((rows, 3))
    state = conformal.fit_precision(probs, labels, 0.5)
    # Four tests at 1/2 give 1/16; one of ten samples, or of fewer, places the grid.
    assert state.found == (rows >= 5)
    assert state.threshold == (0 if rows >= 5 else np.inf)
