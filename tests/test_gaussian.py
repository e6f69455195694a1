import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid
from scipy.special import expit
from scipy.stats import norm

from lddu import gaussian
from lddu.gaussian import Gaussian

fuse = jax.jit(gaussian.fuse)
expected = jax.jit(gaussian.expected_sigmoid_logit, static_argnums=2)
inverse = jax.jit(gaussian.expected_sigmoid_mean, static_argnums=2)
GRID = np.linspace(-20, 20, 40_001)

means = hnp.arrays(np.float32, (3, 2), elements=st.floats(-5, 5, width=32))
variances = hnp.arrays(np.float32, (3, 2), elements=st.floats(0.0625, 16, width=32))
presence = hnp.arrays(np.float32, (3,), elements=st.sampled_from([0.0, 0.5, 1.0]))


def moments(log_density):
    """Mean and variance of the density on GRID that is proportional to exp(log_density)."""
    p = np.exp(log_density - log_density.max())
    p /= trapezoid(p, GRID)
    mean = trapezoid(GRID * p, GRID)
    return mean, trapezoid((GRID - mean) ** 2 * p, GRID)


def random_experts(seed, m, shape):
    rng = np.random.default_rng(seed)
    draws = [(rng.normal(size=shape), rng.uniform(0.2, 4, shape)) for _ in range(m)]
    return [Gaussian(*(x.astype(np.float32) for x in pair)) for pair in draws]


def test_fuse_by_hand():
    # Precisions 1 (prior), 2 and 1: total 4; weighted means 2 * 3 + 1 * -2 = 4.
    experts = [
        Gaussian(jnp.array([3.0]), jnp.array([0.5])),
        Gaussian(jnp.array([-2.0]), jnp.ones(1)),
    ]
    fused, weights = gaussian.fuse(experts, [True, True])
    np.testing.assert_allclose(fused.mean, [1.0])
    np.testing.assert_allclose(fused.var, [0.25])
    np.testing.assert_allclose(weights, [0.5, 0.25])


def test_weights_average_over_the_latent_dimensions():
    fused, weights = gaussian.fuse([Gaussian(jnp.zeros(2), jnp.array([1.0, 1 / 3]))], [1])
    np.testing.assert_allclose(fused.var, [0.5, 0.25], rtol=1e-5)
    np.testing.assert_allclose(weights, [(0.5 + 0.75) / 2], rtol=1e-5)


@pytest.mark.parametrize("present", [(1, 1, 1), (1, 0, 1), (0, 0, 0), (0.5, 1, 0.25)])
def test_fuse_is_the_normalised_product_of_densities(present):
    experts = random_experts(0, 3, (1,))
    log_density = norm.logpdf(GRID)
    for q, a in zip(experts, present, strict=True):
        log_density = log_density + a * norm.logpdf(GRID, q.mean[0], np.sqrt(q.var[0]))
    mean, var = moments(log_density)
    fused, _ = fuse(experts, list(present))
    np.testing.assert_allclose(fused.mean[0], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fused.var[0], var, rtol=1e-5)


@given(mean=means, var=variances, a=presence)
@settings(max_examples=40, deadline=None)
def test_fuse_properties(mean, var, a):
    experts = [Gaussian(m, v) for m, v in zip(mean, var, strict=True)]
    fused, weights = fuse(experts, list(a))
    assert weights.shape == (3,)
    assert (weights >= 0).all()
    assert weights.sum() < 1
    np.testing.assert_array_equal(weights == 0, a == 0)
    # An expert only ever adds precision, and the mean is a convex combination with the prior's 0.
    assert (fused.var <= 1).all()
    assert (fused.var > 0).all()
    assert (fused.mean <= np.maximum(mean.max(0), 0) + 1e-5).all()
    assert (fused.mean >= np.minimum(mean.min(0), 0) - 1e-5).all()
    # The prior's share is the fused variance.
    np.testing.assert_allclose(1 - weights.sum(), fused.var.mean(), atol=1e-5)
    # The order of experts does not matter.
    back, weights_back = fuse(experts[::-1], list(a[::-1]))
    np.testing.assert_allclose(back.mean, fused.mean, atol=1e-4)
    np.testing.assert_allclose(weights_back[::-1], weights, atol=1e-6)


def test_absent_expert_equals_subset():
    experts = random_experts(1, 3, (4, 2, 5))
    fused, weights = fuse(experts, [1, 0, 1])
    subset, subset_weights = fuse([experts[0], experts[2]], [1, 1])
    np.testing.assert_allclose(fused.mean, subset.mean, rtol=1e-5)
    np.testing.assert_allclose(fused.var, subset.var, rtol=1e-5)
    np.testing.assert_allclose(weights[..., [0, 2]], subset_weights, rtol=1e-5)
    np.testing.assert_array_equal(weights[..., 1], 0)


def test_presence_differs_by_row():
    experts = random_experts(2, 2, (3, 2, 4))
    present = [np.array([[True], [False], [True]]), np.array([[True], [True], [False]])]
    fused, weights = fuse(experts, present)
    for row in range(3):
        rows = [Gaussian(q.mean[row], q.var[row]) for q in experts]
        want, want_weights = fuse(rows, [bool(a[row, 0]) for a in present])
        np.testing.assert_allclose(fused.mean[row], want.mean, rtol=1e-5)
        np.testing.assert_allclose(fused.var[row], want.var, rtol=1e-5)
        np.testing.assert_allclose(weights[row], want_weights, rtol=1e-5)


@jax.jit
def total_and_slopes(good, bad):
    def total(good, bad):
        fused, weights = gaussian.fuse([good, bad], [1, 0])
        return fused.mean.sum() + fused.var.sum() + weights.sum()

    return jax.value_and_grad(total, argnums=(0, 1))(good, bad)


@pytest.mark.parametrize("mean", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("var", [np.nan, np.inf, 0.0, 1.0])
def test_absent_expert_may_hold_anything(mean, var):
    (good,) = random_experts(3, 1, (2, 3))
    bad = Gaussian(jnp.full((2, 3), mean), jnp.full((2, 3), var))

    value, gradients = total_and_slopes(good, bad)
    alone = gaussian.fuse([good], [1])
    want = alone[0].mean.sum() + alone[0].var.sum() + alone[1].sum()
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    assert all((g == 0).all() for g in gradients[1])
    assert all((g != 0).any() for g in gradients[0])


def test_all_absent_is_the_prior():
    fused, weights = fuse(random_experts(4, 3, (2, 3)), [0, 0, 0])
    np.testing.assert_array_equal(fused.mean, np.zeros((2, 3)))
    np.testing.assert_array_equal(fused.var, np.ones((2, 3)))
    np.testing.assert_array_equal(weights, np.zeros((2, 3)))


def test_fuse_refuses_unequal_lists():
    with pytest.raises(ValueError, match="zip"):
        gaussian.fuse(random_experts(5, 2, (2,)), [1])


def test_fuse_jit_equals_no_jit_and_keeps_float64():
    experts = random_experts(6, 2, (2, 3))
    for eager, jitted in zip(
        jax.tree.leaves(gaussian.fuse(experts, [1, 1])),
        jax.tree.leaves(fuse(experts, [1, 1])),
        strict=True,
    ):
        np.testing.assert_allclose(eager, jitted, rtol=1e-5)
    with jax.enable_x64(True):
        experts = [Gaussian(jnp.zeros(2, jnp.float64), jnp.full(2, 3.0, jnp.float64))]
        fused, weights = gaussian.fuse(experts, [True])
        assert fused.mean.dtype == fused.var.dtype == weights.dtype == jnp.float64
        np.testing.assert_allclose(fused.var, 0.75, rtol=1e-15)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 4.0)])
def test_kl_equals_quadrature(mean, var):
    q = norm(mean, np.sqrt(var))
    want = trapezoid(q.pdf(GRID) * (q.logpdf(GRID) - norm.logpdf(GRID)), GRID)
    got = gaussian.kl_from_standard_normal(Gaussian(jnp.array([mean]), jnp.array([var])))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


@given(mean=means, var=variances)
@settings(max_examples=30, deadline=None)
def test_kl_is_non_negative_and_sums_over_dimensions(mean, var):
    got = gaussian.kl_from_standard_normal(Gaussian(mean, var))
    assert got.shape == (3,)
    assert (got >= -1e-5).all()
    parts = [
        gaussian.kl_from_standard_normal(Gaussian(mean[:, i : i + 1], var[:, i : i + 1]))
        for i in range(2)
    ]
    np.testing.assert_allclose(got, sum(parts), rtol=1e-4, atol=1e-5)


def test_the_probit_approximation_is_within_its_documented_error_of_quadrature():
    z = np.linspace(-12, 12, 4001)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    mean, std = np.meshgrid(np.geomspace(0.01, 300, 30), np.geomspace(0.01, 200, 30))
    exact = (expit(mean[..., None] + std[..., None] * z) * weight).sum(-1)
    error = np.abs(expit(gaussian.expected_sigmoid_logit(mean, std**2, terms=0)) - exact)
    assert 0.016 < error.max() < 0.018
    # And it is an approximation of that, not merely of sigmoid(mean).
    assert np.abs(expit(mean) - exact).max() > 0.3


@pytest.mark.parametrize("terms", [0, 9])
@given(mean=st.floats(-50, 50), var=st.floats(0, 1e4))
@settings(max_examples=50, deadline=None)
def test_variance_attenuates_confidence_and_keeps_the_side(terms, mean, var):
    def run(mean, var):
        return float(expected(jnp.float32(mean), jnp.float32(var), terms))

    got, small = run(mean, var), 1e-5
    assert abs(got) <= abs(mean) * (1 + 1e-5) + small
    assert got * np.sign(mean) >= -small
    assert run(-mean, var) == -got
    assert abs(run(mean, 2 * var)) <= abs(got) * (1 + 1e-5) + small


@functools.partial(jax.jit, static_argnums=3)
def slopes(logit, mean, var, terms):
    forth = jax.grad(lambda m, v: gaussian.expected_sigmoid_logit(m, v, terms).sum(), (0, 1))
    back = jax.grad(lambda x, v: gaussian.expected_sigmoid_mean(x, v, terms).sum(), (0, 1))
    return forth(mean, var), back(logit, var)


@pytest.mark.parametrize("terms", [0, 3, 9])
def test_the_expected_sigmoid_has_an_inverse(terms):
    logit, var = np.meshgrid(np.float32([-9, -1, 0, 0.3, 4]), np.float32([0, 1e-3, 1, 30, 1e4]))
    mean = inverse(logit, var, terms)
    np.testing.assert_allclose(expected(mean, var, terms), logit, rtol=1e-4, atol=1e-5)
    # Along an argument, the two slopes of an inverse multiply to one.
    (in_mean, in_var), (in_logit, through_var) = slopes(logit, mean, var, terms)
    np.testing.assert_allclose(in_mean * in_logit, 1, rtol=1e-3)
    np.testing.assert_allclose(in_var + in_mean * through_var, 0, atol=1e-4)


def test_sample_moments():
    q = Gaussian(jnp.array([[1.0, -2.0]]), jnp.array([[0.25, 4.0]]))
    n = 20_000
    draws = np.asarray(gaussian.sample(jax.random.key(0), q, n))
    assert draws.shape == (n, 1, 2)
    # Within 6.5 standard errors.
    assert np.all(np.abs(draws.mean(0) - q.mean) <= 6.5 * np.sqrt(q.var / n))
    np.testing.assert_allclose(draws.var(0), q.var, rtol=6.5 * np.sqrt(2 / n))
    assert abs(np.corrcoef(draws[:, 0].T)[0, 1]) < 6.5 / np.sqrt(n)


def test_sample_is_reparameterised():
    # A draw is mean + sqrt(var) * noise, with noise that depends on the key alone.
    def total(mean, var):
        return jnp.square(gaussian.sample(jax.random.key(0), Gaussian(mean, var), 50)).sum()

    mean, var = jnp.array([1.5, -1.0]), jnp.array([0.5, 2.0])
    slopes = jax.grad(total, argnums=(0, 1))(mean, var)
    draws = gaussian.sample(jax.random.key(0), Gaussian(mean, var), 50)
    noise = (draws - mean) / jnp.sqrt(var)
    np.testing.assert_allclose(slopes[0], (2 * draws).sum(0), rtol=1e-4)
    np.testing.assert_allclose(slopes[1], (draws * noise / jnp.sqrt(var)).sum(0), rtol=1e-4)


def test_samples_depend_on_the_key_alone():
    q = Gaussian(jnp.zeros(3), jnp.ones(3))
    first, again, other = (gaussian.sample(jax.random.key(k), q, 2) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


# ---- average ------------------------------------------------------------------------------------


def test_average_is_the_mean_of_variables_with_the_prior():
    experts = [
        Gaussian(np.full(1, mean, np.float32), np.full(1, var, np.float32))
        for mean, var in ((2.0, 0.5), (-1.0, 1.0))
    ]
    fused, weights = gaussian.average(experts, [np.ones((), bool), np.ones((), bool)])
    # Means and variances of independent variables add up.
    np.testing.assert_allclose(fused.mean, [(0 + 2 - 1) / 3], rtol=1e-5)
    np.testing.assert_allclose(fused.var, [(1 + 0.5 + 1) / 9], rtol=1e-5)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3], rtol=1e-5)


def test_average_leaves_out_the_missing_whatever_they_hold():
    there = Gaussian(np.full((2, 3), 2.0, np.float32), np.full((2, 3), 0.5, np.float32))
    bad = Gaussian(np.full((2, 3), np.nan, np.float32), np.full((2, 3), np.inf, np.float32))
    fused, weights = gaussian.average([there, bad], [np.array([1.0, 0.0]), np.zeros(2)])
    np.testing.assert_allclose(fused.mean, [[1.0] * 3, [0.0] * 3])
    np.testing.assert_allclose(fused.var, [[1.5 / 4] * 3, [1.0] * 3])
    np.testing.assert_allclose(weights, [[0.5, 0.0], [0.0, 0.0]])
