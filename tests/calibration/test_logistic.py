import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from lddu.calibration.logistic import fit_logistic

N = 60


def objective(theta, features, labels, weights, center, precision):
    """The documented objective in float64."""
    z = features.astype(np.float64) @ theta
    prior = np.sum(precision / 2 * np.square(theta - center))
    return np.sum(weights * (np.logaddexp(0, z) - labels * z)) + prior


def slope(theta, features, labels, weights, center, precision):
    features = features.astype(np.float64)
    error = weights * (expit(features @ theta) - labels)
    return error @ features + precision * (theta - center)


def oracle(args, nonnegative):
    """scipy's optimum under the bounds."""
    bounds = [(0, None)] * nonnegative + [(None, None)] * (len(args[-1]) - nonnegative)
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10}
    start = args[-2].astype(np.float64)
    return minimize(
        objective, start, args, jac=slope, bounds=bounds, method="L-BFGS-B", options=options
    ).x


def problem(seed, kind):
    """A random problem: informative, one class, separable, soft or contradictory labels."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(N, 3)) * 10 ** rng.uniform(-1, 1.5)).astype(np.float32)
    features[:, 2] = 1
    z = features[:, 0] - 2 * features[:, 1]
    labels = {
        "informative": rng.random(N) < expit(z / 3),
        "one class": np.zeros(N),
        "separable": z > 0,
        "soft": rng.random(N),
        "contradictory": z < 0,
    }[kind]
    weights = rng.integers(0, 3, N)
    center, precision = np.array([1.0, 1.0, 0.0]), rng.choice([1e-3, 1.0, 20.0], 3)
    return tuple(np.asarray(x, np.float32) for x in (features, labels, weights, center, precision))


@pytest.mark.parametrize("kind", ["informative", "one class", "separable", "soft", "contradictory"])
@pytest.mark.parametrize("nonnegative", [0, 2])
def test_equals_scipy(kind, nonnegative):
    fit = jax.jit(fit_logistic, static_argnums=5)
    for seed in range(6):
        args = problem(seed, kind)
        got = np.asarray(fit(*args, nonnegative), np.float64)
        want = oracle(args, nonnegative)
        assert np.all(got[:nonnegative] >= 0)
        # Flat directions leave the coefficients some play in float32, but not the value.
        best = objective(want, *args)
        assert objective(got, *args) <= best + 1e-4 * (1 + best)


def test_a_bound_may_hold_one_coefficient_or_both():
    fit = jax.jit(fit_logistic, static_argnums=5)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, 3)).astype(np.float32)
    ones, center = np.ones(N, np.float32), np.array([1, 1, 0], np.float32)
    precision = np.full(3, 1e-3, np.float32)
    for signs in [(1, 1), (-1, 1), (1, -1), (-1, -1)]:
        labels = expit(features @ [signs[0], 2 * signs[1], 0.5]).astype(np.float32)
        got = np.asarray(fit(features, labels, ones, center, precision, 2))
        np.testing.assert_array_equal(got[:2] == 0, np.array(signs) < 0)
        want = oracle((features, labels, ones, center, precision), 2)
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_huge_features_that_start_far_off_still_end_at_a_defined_optimum():
    fit = jax.jit(fit_logistic, static_argnums=5)
    rng = np.random.default_rng(0)
    for scale in (1e3, 1e4):
        features = (rng.normal(size=(N, 3)) * scale).astype(np.float32)
        labels = (features[:, 0] < 0).astype(np.float32)  # the centre is wrong everywhere
        args = features, labels, np.ones(N), np.array([1, 0, 0]), np.ones(3)
        args = tuple(np.asarray(x, np.float32) for x in args)
        got = np.asarray(fit(*args, 0), np.float64)
        assert objective(got, *args) < 1
