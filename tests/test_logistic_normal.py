"""The expected sigmoid of a Gaussian against quadrature: values and slopes, in both tails."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.polynomial import Polynomial
from scipy.special import expit, log_expit, log_ndtr, logsumexp

from lddu import gaussian, logistic_normal

TERMS = (3, 5, 6, 7, 9)
MEANS = np.r_[-30, -20, -10, -3, -1, -0.1, 0, 1e-3, 0.5, 2, 5, 10, 20, 30]
VARIANCES = np.r_[1e-6, 1e-3, 0.1, 1, 4, 10, 30, 100]
MEAN, VAR = np.float32(np.meshgrid(MEANS, VARIANCES))


@functools.partial(jax.jit, static_argnums=2)
def log_odds_and_slopes(mean, var, terms=9):
    one = jax.value_and_grad(lambda m, v: gaussian.expected_sigmoid_logit(m, v, terms), (0, 1))
    return jax.vmap(one)(mean.ravel(), var.ravel())


def quadrature(mean, var):
    """log E[sigmoid(l)], log E[sigmoid(-l)], E[sigmoid'(l)] and E[sigmoid''(l)], in float64.

    The trapezoidal rule in l, with weights in the logarithm. It reaches over the modes of the
    Gaussian and of the Gaussian tilted by exp(l) and exp(-l), 14 deviations to each side.
    """
    mean, std = np.float64(mean).ravel()[:, None], np.sqrt(np.float64(var)).ravel()[:, None]
    reach = std * (std + 14)
    logit = mean + reach * np.linspace(-1, 1, 20_001)
    log_weight = -0.5 * ((logit - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    log_weight += np.log(reach / 10_000)
    p, q = log_expit(logit), log_expit(-logit)
    slope = np.exp(log_weight + p + q)
    return (
        logsumexp(log_weight + p, axis=1),
        logsumexp(log_weight + q, axis=1),
        slope.sum(1),
        (slope * (np.exp(q) - np.exp(p))).sum(1),
    )


@pytest.fixture(scope="module")
def exact():
    return quadrature(MEAN, VAR)


@pytest.mark.parametrize("terms", TERMS)
def test_the_polynomial_keeps_its_relative_error(terms):
    p = Polynomial(logistic_normal._coefficients(terms))
    residual = 1 - Polynomial([1.0, 1.0]) * p
    assert p.degree() == terms - 1
    bound = logistic_normal.relative_error(terms)
    largest = np.abs(residual(np.linspace(0, 1, 10_001))).max()
    np.testing.assert_allclose(largest, bound, rtol=1e-4)
    np.testing.assert_allclose([residual(1.0), residual.deriv()(1.0)], 0, atol=1e-12)


@pytest.mark.parametrize("terms", TERMS)
def test_log_odds_and_probability_are_within_their_documented_errors(exact, terms):
    got = np.float64(log_odds_and_slopes(MEAN, VAR, terms)[0])
    bound = logistic_normal.relative_error(terms)
    rounding = 1e-5 + 1e-6 * np.abs(MEAN.ravel())
    assert (np.abs(got - (exact[0] - exact[1])) < bound + rounding).all()
    assert (np.abs(expit(got) - np.exp(exact[0])) < bound / 4 + 1e-6).all()


def test_slopes_equal_quadrature(exact):
    _, (in_mean, in_var) = log_odds_and_slopes(MEAN, VAR)
    log_p, log_q, slope, curvature = exact
    odds = np.exp(log_p + log_q)
    np.testing.assert_allclose(in_mean, slope / odds, rtol=1e-4)
    np.testing.assert_allclose(in_var, curvature / odds / 2, rtol=1e-4, atol=1e-4)


def test_without_variance_it_is_the_mean_with_the_slopes_of_the_sigmoid():
    mean = np.float32([-1e4, -87, -30, -20, -1, 0, 1e-3, 20, 30, 87, 1e4])
    got, (in_mean, in_var) = log_odds_and_slopes(mean, np.zeros_like(mean))
    np.testing.assert_allclose(got, mean, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(in_mean, 1, rtol=1e-5)
    # Half of sigmoid'' / sigmoid' = 1 - 2 sigmoid.
    np.testing.assert_allclose(in_var, 0.5 - expit(mean), atol=1e-4)


def test_large_means_and_variances_in_probability():
    mean, std = np.float32(np.meshgrid(np.geomspace(0.01, 300, 12), np.geomspace(0.01, 60, 12)))
    log_p, log_q, *_ = quadrature(mean, std**2)
    got = np.float64(log_odds_and_slopes(mean, std**2)[0])
    np.testing.assert_allclose(expit(got), np.exp(log_p), atol=1e-6)
    np.testing.assert_allclose(got, log_p - log_q, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_part_of_an_exponential_beyond_zero_equals_scipy(sign):
    powers = np.arange(10.0)[:, None]
    mean, var = sign * np.abs(MEAN.astype(float)).ravel(), VAR.astype(float).ravel()
    tilted = (mean - powers * var) / np.sqrt(var)
    want = -powers * mean + powers**2 * var / 2 + log_ndtr(tilted)
    with jax.enable_x64(True):
        got = logistic_normal._log_beyond(powers, mean, var)
    # scipy's terms cancel: up to 4,050 at variance 100.
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_float64_and_bfloat16_keep_their_types():
    mean, var = np.array([-2.0, 3.0]), np.array([0.5, 8.0])
    log_p, log_q, *_ = quadrature(mean, var)
    with jax.enable_x64(True):
        wide = gaussian.expected_sigmoid_logit(jnp.asarray(mean), jnp.asarray(var))
    assert wide.dtype == jnp.float64
    np.testing.assert_allclose(wide, log_p - log_q, atol=3e-6)
    narrow = gaussian.expected_sigmoid_logit(*(jnp.asarray(x, jnp.bfloat16) for x in (mean, var)))
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float32(narrow), log_p - log_q, rtol=1e-2)


ends = hnp.arrays(
    np.float32, 4, elements=st.sampled_from(np.float32([0, 1e-38, 1e-18, 1e-6, 1, 90, 1e6, 1e30]))
)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("terms", [0, 9])
@given(size=ends, var=ends, negative=st.booleans())
@settings(max_examples=25, deadline=None)
def test_finite_at_the_ends_of_the_numbers(dtype, terms, size, var, negative):
    mean = jnp.asarray(-size if negative else size, dtype)
    chex.assert_tree_all_finite(log_odds_and_slopes(mean, jnp.asarray(var, dtype), terms))
