import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from lddu.calibration import Isotonic, apply_isotonic, fit_isotonic
from lddu.calibration.isotonic import pool_adjacent_violators


def interpolate(state, logits):
    """`apply_isotonic` by NumPy, without a compilation per shape."""
    columns = zip(logits.T, np.asarray(state.knots).T, np.asarray(state.values).T, strict=True)
    return np.stack([np.interp(*column) for column in columns], axis=1)


@st.composite
def cases(draw):
    """Logits with ties, and hard or soft labels and weights with zeros."""
    n = draw(st.integers(1, 25))
    logits = draw(hnp.arrays(np.float32, (n, 2), elements=st.integers(-6, 6)))
    labels = draw(hnp.arrays(np.float32, (n, 2), elements=st.sampled_from([0, 0.25, 1, np.nan])))
    weights = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0, 1, 2.5])))
    weights[0], labels[0] = 1, draw(st.sampled_from([0, 1]))
    return logits, labels, weights


@given(cases(), st.sampled_from([0.1, 1.0]))
@settings(max_examples=60, deadline=None)
def test_unbounded_equals_scikit_learn_with_the_documented_pseudo_samples(case, smoothing):
    logits, labels, weights = case
    state = fit_isotonic(logits, labels, smoothing, math.inf, weights)
    for c in range(2):
        used = (weights > 0) & ~np.isnan(labels[:, c])
        x = logits[used, c]
        model = IsotonicRegression().fit(
            np.append(x, [x.min(), x.max()]),
            np.append(labels[used, c], [1, 0]),
            np.append(weights[used], [smoothing, smoothing]),
        )
        got = interpolate(state, np.repeat(x[:, None], 2, 1))[:, c]
        np.testing.assert_allclose(expit(got), model.predict(x), atol=1e-6)


@given(cases(), st.sampled_from([0.5, 32.0, math.inf]))
@settings(max_examples=60, deadline=None)
def test_the_documented_bounds_hold(case, steepest):
    logits, labels, weights = case
    labels = np.nan_to_num(labels)
    state = fit_isotonic(logits, labels, steepest=steepest, weights=weights)
    got = interpolate(state, logits)
    lowest = 1 / (weights.sum() + 2)
    assert expit(got).min() >= lowest - 1e-6
    assert expit(got).max() <= 1 - lowest + 1e-6

    def loss(z):
        return np.sum(weights[:, None] * (np.logaddexp(0, z) - labels * z), axis=0)

    used = logits[weights > 0]
    exact = interpolate(fit_isotonic(logits, labels, steepest=math.inf, weights=weights), used)
    moved = np.abs(interpolate(state, used) - exact).max(0)  # max(h, 0) / 2 in the docstring
    slack = np.logaddexp(0, -used.min(0)) + np.logaddexp(0, used.max(0)) + weights.sum() * moved
    assert np.all(loss(got) <= loss(logits) + slack + 1e-4)


def test_pools_by_hand():
    positive, negative = pool_adjacent_violators(
        np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0, 0.0])
    )
    np.testing.assert_array_equal(positive, [0, 1, 1, 1])
    np.testing.assert_array_equal(negative, [1, 1, 1, 0])


def test_values_by_hand():
    # Separable: the lower three share one pseudo-positive, the upper two one pseudo-negative.
    logits = np.array([[-3.0], [-2.0], [-1.0], [1.0], [2.0]], np.float32)
    state = fit_isotonic(logits, logits > 0)
    assert state.knots.shape == (4, 1)
    np.testing.assert_allclose(state.knots[:, 0], [-3, -1, 1, 2])
    np.testing.assert_allclose(expit(state.values[:, 0]), [1 / 4, 1 / 4, 2 / 3, 2 / 3], rtol=1e-5)
    # Flat within blocks and beyond the ends, linear between blocks.
    low, high = -np.log(3), np.log(2)
    got = apply_isotonic(state, [[-9.0], [-1.5], [0.0], [9.0]])[:, 0]
    np.testing.assert_allclose(got, [low, low, (low + high) / 2, high], rtol=1e-5)
    # One class: Laplace's rule.
    rare = fit_isotonic(logits, np.zeros((5, 1)))
    np.testing.assert_allclose(expit(apply_isotonic(rare, logits)), 1 / 7, rtol=1e-5)
    # Nothing but one point.
    point = fit_isotonic(np.zeros((3, 1)), [[0], [1], [1]])
    np.testing.assert_allclose(expit(point.values), 3 / 5, rtol=1e-5)


def test_finds_a_map_that_no_parametric_family_has():
    # Labels are the expected ones, so that the true steps have the highest likelihood of all maps.
    logits = np.linspace(-4, 4, 200, dtype=np.float32)[:, None]
    steps = np.array([0.05, 0.4, 0.9])
    true = steps[np.searchsorted([-1.0, 2.0], logits)]
    state = fit_isotonic(logits, true, smoothing=1e-6)
    got = expit(interpolate(state, np.array([[-4.0], [-2.5], [0.5], [3.0], [4.0]])))
    np.testing.assert_allclose(got[:, 0], steps[[0, 0, 1, 2, 2]], atol=1e-4)


def test_labels_of_different_complexity_share_one_array():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 2)).astype(np.float32)
    labels = np.stack([rng.random(200) < expit(3 * logits[:, 0]), np.zeros(200)], axis=1)
    state = fit_isotonic(logits, labels)
    assert state.knots.shape == state.values.shape
    assert np.log2(len(state.knots)) % 1 == 0
    for c in range(2):
        alone = fit_isotonic(logits[:, [c]], labels[:, [c]])
        want = interpolate(alone, logits[:, [c]])
        np.testing.assert_allclose(interpolate(state, logits)[:, [c]], want, rtol=1e-6)
    np.testing.assert_allclose(apply_isotonic(state, logits), interpolate(state, logits), atol=1e-5)


def test_gradients_are_finite_at_knots_and_repeated_knots():
    knots = np.array([[-1.0], [-1.0], [0.5], [0.5]], np.float32)
    state = Isotonic(knots, np.array([[-2.0], [-1.0], [3.0], [3.0]], np.float32))
    x = np.array([[-2.0], [-1.0], [0.0], [0.5], [4.0]], np.float32)
    gradient = jax.grad(lambda x: apply_isotonic(state, x).sum())(x)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient[[0, 2, 4], 0], [0, 4 / 1.5, 0], rtol=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="smoothing=0 must be finite and > 0"):
        fit_isotonic(np.zeros((3, 1)), np.zeros((3, 1)), smoothing=0)
    for steepest in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"steepest={steepest} must be > 0"):
            fit_isotonic(np.zeros((3, 1)), np.zeros((3, 1)), steepest=steepest)
    with pytest.raises(ValueError, match=r"does not run under jax\.jit"):
        jax.jit(fit_isotonic)(np.zeros((3, 1)), np.zeros((3, 1)))
