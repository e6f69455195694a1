from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import MultiLabelClassificationController

from lddu.calibration import conformal

SPLITS = 500
DEVIATIONS = 6.0  # how many standard errors a mean over splits may be off: a chance below 1e-8


def missed(sets, labels):
    """(N,) share of each sample's true labels outside its set; 0 without any."""
    return np.sum(labels & ~sets, axis=1) / np.maximum(labels.sum(1), 1)


PROBS = np.array([[0.9, 0.4], [0.1, 0.6], [0.7, 0.7]])
LABELS = np.array([[1, 1], [0, 1], [0, 0]])


# Missed one after another: 0.4 (half of a sample), 0.6 (a whole one), 0.9 (half). The sum of losses
# may be 3 level - 1 over the two samples with a label, 4 level - 1 over all three.
@pytest.mark.parametrize(
    ("empty", "level", "want"),
    [
        ("skip", 0.33, 0),
        ("skip", 0.34, 0.4),
        ("skip", 0.5, 0.6),
        ("skip", 0.83, 0.6),
        ("skip", 0.84, 0.9),
        ("skip", 0.99, 0.9),
        ("zero", 0.24, 0),
        ("zero", 0.25, 0.4),
        ("zero", 0.375, 0.6),
        ("zero", 0.6, 0.6),
        ("zero", 0.625, 0.9),
        ("zero", 0.75, np.inf),
    ],
)
def test_by_hand(empty, level, want):
    state = conformal.fit_false_negative_rate(PROBS, LABELS, level, empty)
    assert state.threshold == want
    assert state.found == (want > 0)


def test_samples_without_a_label_do_not_change_the_threshold():
    more = np.concatenate([PROBS, np.random.default_rng(0).random((50, 2))])
    none = np.concatenate([LABELS, np.zeros((50, 2))])
    for level in (0.3, 0.5, 0.9):
        want = conformal.fit_false_negative_rate(PROBS, LABELS, level)
        assert conformal.fit_false_negative_rate(more, none, level) == want


def test_per_label_by_hand():
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


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.booleans())
@settings(max_examples=150, deadline=None)
def test_it_is_the_largest_threshold_that_holds(seed, n, k, skip):
    rng = np.random.default_rng(seed)
    probs = rng.integers(0, 5, (n, 3)) / 4  # ties
    labels = rng.random((n, 3)) < 0.5
    labels[0, 0] = True
    rows = labels.any(1) if skip else np.ones(n, bool)
    count = int(rows.sum())
    level = Fraction(min(k, count), count + 1) if seed % 2 else Fraction(k, 13)

    def holds(t):
        out = [
            Fraction(int((y & (p < t)).sum()), int(max(y.sum(), 1)))
            for p, y in zip(probs[rows], labels[rows], strict=True)
        ]
        return (sum(out) + 1) / Fraction(count + 1) <= level

    want = max((t for t in (0, 0.25, 0.5, 0.75, 1, np.inf) if holds(t)), default=0)
    empty = "skip" if skip else "zero"
    state = conformal.fit_false_negative_rate(probs, labels, float(level), empty)
    assert state.threshold == want
    assert state.found == holds(0)


@pytest.mark.parametrize("rank", ["probability", "share"])
def test_samples_with_a_label_keep_the_level_over_random_splits(simulate, rank):
    probs, labels = simulate(500, shift=1.0)
    has = labels.any(1)
    assert 0.2 < 1 - has.mean() < 0.4  # the share without any label
    level, n, rng = 0.15, 80, np.random.default_rng(1)
    rates = {"skip": [], "zero": []}
    everyone = []
    for _ in range(SPLITS):
        order = rng.permutation(len(probs))
        fit, test = order[:n], order[n:]
        for empty, out in rates.items():
            state = conformal.fit_false_negative_rate(
                probs[fit], labels[fit], level, empty, rank=rank
            )
            loss = missed(conformal.apply(state, probs[test]), labels[test])
            out.append(loss[has[test]].mean())
        everyone.append(loss.mean())  # under "zero"
    error = {name: DEVIATIONS * np.std(out) / np.sqrt(SPLITS) for name, out in rates.items()}
    slack = 2 / (0.6 * n)  # a conformal threshold is too cautious by up to 2 / (n + 1)
    assert level - slack - error["skip"] < np.mean(rates["skip"]) < level + error["skip"]
    # The other choice keeps the level over all samples, and so exceeds it over those with a label.
    spread = DEVIATIONS * np.std(everyone) / np.sqrt(SPLITS)
    assert level - 2 / n - spread < np.mean(everyone) < level + spread
    assert np.mean(rates["zero"]) > level + error["zero"]


def test_every_label_keeps_the_level_over_random_splits(simulate):
    probs, labels = simulate(400)
    level, n, rng = 0.15, 60, np.random.default_rng(1)
    rates = []
    for _ in range(SPLITS):
        order = rng.permutation(len(probs))
        fit, test = order[:n], order[n:]
        state = conformal.fit_false_negative_rate_per_label(probs[fit], labels[fit], level)
        lost = labels[test] & ~conformal.apply(state, probs[test])
        rates.append(lost.sum(0) / labels[test].sum(0))
    # The last label has some ten positives in a calibration set, sometimes too few.
    error = DEVIATIONS * np.std(rates, axis=0) / np.sqrt(SPLITS)
    assert np.all(np.mean(rates, axis=0) < level + error)
    assert np.mean(rates, axis=0)[0] > level - 2 / (n / 3) - error[0]


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_it_equals_mapie_up_to_its_grid(simulate, level):
    probs, labels = simulate(160, seed=5)
    labelled = labels.any(1)
    grid = np.arange(0, 1, 0.01)
    theirs = MultiLabelClassificationController(
        lambda x: x, risk="recall", method="crc", target_level=1 - level, predict_params=grid
    ).calibrate(probs[labelled], labels[labelled].astype(int))
    ours = conformal.fit_false_negative_rate(probs, labels, level).threshold
    assert theirs.best_predict_param[0] <= ours <= theirs.best_predict_param[0] + 0.01


@given(st.integers(0, 10_000), st.floats(0.01, 0.98), st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_thresholds_grow_with_the_level(simulate, seed, level, more):
    probs, labels = simulate(60, seed=seed)
    labels[0, 0] = True
    higher = level + more * (0.99 - level)
    for fit in (
        conformal.fit_false_negative_rate,
        conformal.fit_false_negative_rate_per_label,
    ):
        assert np.all(fit(probs, labels, higher).threshold >= fit(probs, labels, level).threshold)


def test_the_order_of_samples_does_not_matter(simulate):
    probs, labels = simulate(200)
    order = np.random.default_rng(0).permutation(200)
    for fit in (
        conformal.fit_false_negative_rate,
        conformal.fit_false_negative_rate_per_label,
    ):
        state, other = fit(probs, labels, 0.3), fit(probs[order], labels[order], 0.3)
        np.testing.assert_array_equal(state.threshold, other.threshold)
