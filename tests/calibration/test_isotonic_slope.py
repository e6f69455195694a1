"""The bound on the slope of isotonic maps, and what it promises."""

import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from lddu.calibration import Isotonic, apply_isotonic, fit_isotonic, max_slope
from lddu.calibration.isotonic import bound_slope

EPS = np.finfo(np.float32).eps
STEEPEST = st.sampled_from([0.3, 3.0, 32.0])
ROWS, KNOTS = 256, 64  # one compilation of `applied` serves all examples

jitted = jax.jit(apply_isotonic)


def applied(state, logits):
    """`apply_isotonic` in float32 on (N,) logits of one label, N <= ROWS."""
    knots, values = (np.pad(x, ((0, KNOTS - len(x)), (0, 0)), "edge") for x in state)
    padded = np.pad(logits.astype(np.float32), (0, ROWS - len(logits)), "edge")
    return np.asarray(jitted(Isotonic(knots, values), padded[:, None]))[: len(logits), 0]


def exact(x, y, weights):
    """Unique logits of the rows that count, and the values of the map of unbounded slope there."""
    state = fit_isotonic(x[:, None], y[:, None], steepest=math.inf, weights=weights)
    x = np.unique(x[weights > 0]).astype(np.float64)
    return x, np.interp(x, *(np.asarray(a, np.float64)[:, 0] for a in state))


def bound(x, weights, steepest):
    """L of the docstring, from its words: steepest per (weighted) standard deviation."""
    mean = np.average(x.astype(np.float64), weights=weights)
    return steepest / math.sqrt(np.average((x.astype(np.float64) - mean) ** 2, weights=weights))


@st.composite
def samples(draw):
    """(N,) float32 logits in clusters down to neighbouring floats, labels, weights with zeros."""
    n = draw(st.integers(2, 30))
    centers = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([-3, -1, 0, 0.5, 4])))
    offsets = draw(hnp.arrays(np.float32, n, elements=st.integers(-9, 9)))
    scale = draw(st.sampled_from([1e-7, 1e-5, 1e-2, 0.3]))
    x = centers + np.float32(scale) * offsets
    y = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0, 0, 0.25, 1, 1])))
    weights = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0, 1, 1, 2.5])))
    weights[:2] = 1
    x[1] = x[0] + 1
    return x, y, weights


@given(samples(), STEEPEST)
@settings(max_examples=100, deadline=None)
def test_a_fitted_map_is_monotone_bounded_in_slope_and_nearest(sample, steepest):
    x, y, weights = sample
    state = fit_isotonic(x[:, None], y[:, None], steepest=steepest, weights=weights)
    slope = bound(x, weights, steepest)
    assert np.all(np.diff(state.knots, axis=0) >= 0)
    assert np.all(np.diff(state.values, axis=0) >= 0)
    assert max_slope(state)[0] <= 1.00101 * slope
    points, values = exact(x, y, weights)
    excess = values - values[:, None] - slope * np.abs(points - points[:, None])
    got = np.interp(points, *(np.asarray(a, np.float64)[:, 0] for a in state))
    distance = np.abs(got - values).max()
    # No map of this slope comes closer: of two points with an excess h one is off by h / 2.
    assert abs(distance - max(excess.max(), 0) / 2) <= 1005 * EPS * np.abs(values).max()
    assert values.min() - 1e-5 <= got.min() <= got.max() <= values.max() + 1e-5


@given(
    hnp.arrays(np.float64, 12, elements=st.floats(0, 1)),
    hnp.arrays(np.float64, 12, elements=st.sampled_from([0, 0, 0.1, 3.0])),
    st.sampled_from([0.1, 1.0, 50.0]),
)
@settings(max_examples=100, deadline=None)
def test_bound_slope_in_float64(gaps, rises, slope):
    x, values = np.cumsum(gaps + 1e-9), np.cumsum(rises)
    got = bound_slope(x, values, slope)
    steps = np.diff(got)
    assert np.all(steps >= 0)
    assert np.all(steps <= slope * np.diff(x) * (1 + 1e-12) + 1e-13)
    excess = values - values[:, None] - slope * np.abs(x - x[:, None])
    assert abs(np.abs(got - values).max() - max(excess.max(), 0) / 2) <= 1e-12
    # Off a neighbourhood of the steep places the values stay.
    untouched = (excess.max(0) <= 0) & (excess.max(1) <= 0)
    np.testing.assert_allclose(got[untouched], values[untouched], atol=1e-12)
    reverse = -bound_slope(-x[::-1], -values[::-1], slope)[::-1]
    np.testing.assert_allclose(got, reverse, atol=1e-12)


def test_bound_slope_by_hand():
    # Lines of slope 2 through the last point below the jump and the first above it, halved.
    x = np.array([-2.0, -0.5, -0.1, 0.1, 0.5, 2.0])
    values = np.where(x > 0, 2.0, -2.0)
    np.testing.assert_allclose(bound_slope(x, values, 2.0), [-2, -0.6, -0.2, 0.2, 0.6, 2.0])


def test_a_map_that_is_flat_enough_is_exact():
    x = np.arange(40, dtype=np.float32)[:, None]
    y = np.arange(40)[:, None] % 7 > 3
    want = fit_isotonic(x, y, steepest=math.inf)
    for got, wanted in zip(fit_isotonic(x, y, steepest=1e3), want, strict=True):
        np.testing.assert_array_equal(got, wanted)


@given(samples(), STEEPEST)
@settings(max_examples=60, deadline=None)
def test_an_error_in_a_logit_grows_by_no_more_than_the_slope(sample, steepest):
    """At every knot and a few floats off it, where the map bends."""
    x, y, weights = sample
    state = fit_isotonic(x[:, None], y[:, None], steepest=steepest, weights=weights)
    near = [np.unique(np.asarray(state.knots)[:, 0])[:25]]
    for direction in (-np.inf, np.inf):
        nearby = [
            functools.reduce(np.nextafter, [np.float32(direction)] * k, near[0]) for k in (1, 3)
        ]
        near += [*nearby, near[0] + np.sign(direction) * np.float32(1e-4)]
    near = np.sort(np.concatenate(near).astype(np.float32))
    got, points = applied(state, near).astype(np.float64), near.astype(np.float64)
    largest = np.abs(state.values).max()
    allowed = max_slope(state)[0] * (points - points[:, None]) + 16 * EPS * largest
    ahead = points >= points[:, None]
    assert np.all((got - got[:, None])[ahead] <= allowed[ahead])
    assert np.all((got - got[:, None])[ahead] >= -16 * EPS * largest)
    probs = expit(got)
    ahead = np.abs(probs - probs[:, None]) - allowed / 4
    assert np.all(ahead[points >= points[:, None]] <= 1e-12)
    # At the knots themselves the map has the values stored.
    knots = np.asarray(state.knots)[:, 0]
    np.testing.assert_array_equal(applied(state, knots), np.asarray(state.values)[:, 0])


@given(samples(), STEEPEST, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_rows_may_be_permuted_and_repeated_rows_merged(sample, steepest, random):
    x, y, weights = sample
    state = fit_isotonic(x[:, None], y[:, None], steepest=steepest, weights=weights)
    order = list(range(len(x)))
    random.shuffle(order)
    again = fit_isotonic(x[order, None], y[order, None], steepest=steepest, weights=weights[order])
    doubled = fit_isotonic(
        np.tile(x, 2)[:, None], np.tile(y, 2)[:, None], 2.0, steepest, np.tile(weights, 2)
    )
    # Sums in another order may round to other blocks that are as good: their values are the same.
    scale = 1 + np.abs(state.values).max()
    for other in (again, doubled):
        np.testing.assert_allclose(applied(other, x), applied(state, x), atol=2010 * EPS * scale)


@pytest.mark.parametrize("steepest", [1e-3, 32.0, math.inf])
def test_one_class_and_constant_logits_give_laplace_s_rule(steepest):
    x = np.array([[-1.0], [0.0], [0.5], [3.0]])
    for labels, share in ((np.zeros((4, 1)), 1 / 6), (np.ones((4, 1)), 5 / 6)):
        state = fit_isotonic(x, labels, steepest=steepest)
        np.testing.assert_allclose(expit(state.values), share, rtol=1e-5)
        np.testing.assert_array_equal(max_slope(state), [0])
    # Logits that the interpolation cannot tell apart are one point as well.
    for constant in (np.full((4, 1), -16.1), np.array([[1e-20], [0.0], [-1e-16], [1e-17]])):
        state = fit_isotonic(constant, [[0], [0], [1], [0]], steepest=steepest)
        assert state.knots.shape == (1, 1)
        np.testing.assert_allclose(expit(state.values), 2 / 6, rtol=1e-5)


def test_max_slope_by_hand():
    knots = np.array([[0, -1, 2], [2, -1, 2], [3, -1, 2], [3, 4, 2]], np.float32)
    values = np.array([[0, 5, 1], [1, 6, 1], [4, 6, 1], [4, 9, 1]], np.float32)
    np.testing.assert_array_equal(max_slope(Isotonic(knots, values)), [3, np.inf, 0])


def test_logits_on_another_scale_give_the_same_map():
    rng = np.random.default_rng(0)
    x = rng.integers(-40, 40, (60, 1)) / 8
    y = rng.random((60, 1)) < expit(x)
    want = interpolate_at(fit_isotonic(x, y), x)
    for scale in (2.0**-8, 2.0**6):
        got = interpolate_at(fit_isotonic(scale * x, y), scale * x)
        np.testing.assert_allclose(got, want, atol=1e-4)


def interpolate_at(state, x):
    return np.interp(x[:, 0], *(np.asarray(a, np.float64)[:, 0] for a in state))


def test_the_bound_does_not_cost_likelihood_on_new_data():
    """Expected NLL under the true law, which a staircase meets worse than ramps do.

    The mean difference over the 40 draws lies 8 of its standard errors below 0.
    """
    rng = np.random.default_rng(0)
    grid = np.linspace(-6, 4, 1001)[:, None]
    density = np.exp(-((grid + 1) ** 2) / 8)

    def true(x):
        return expit(0.6 * x + np.sin(2 * x) - 0.5)

    def nll(state):
        z = interpolate_at(state, grid)[:, None]
        return np.average(np.logaddexp(0, z) - true(grid) * z, weights=density)

    differences = []
    for _ in range(40):
        x = rng.normal(-1, 2, (400, 1)).astype(np.float32)
        y = rng.random(x.shape) < true(x)
        differences.append(nll(fit_isotonic(x, y)) - nll(fit_isotonic(x, y, steepest=math.inf)))
    assert np.mean(differences) < 0
