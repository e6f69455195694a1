import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from lddu.gaussian import Gaussian, expected_sigmoid_logit
from lddu.nn.heads import GaussianLogit, JointHead

HEAD = GaussianLogit(3, terms=9)
RNG = np.random.default_rng(0)
Q = Gaussian(
    RNG.normal(size=(2, 3, 4)).astype(np.float32),
    RNG.uniform(0.1, 2, (2, 3, 4)).astype(np.float32),
)
WEIGHT = RNG.normal(size=(3, 4)).astype(np.float32)
PRIOR = Gaussian(jnp.zeros((3, 4)), jnp.ones((3, 4)))


def variables(prior_logit, weight=WEIGHT):
    return {"params": {"weight": jnp.asarray(weight), "prior_logit": jnp.asarray(prior_logit)}}


def by_quadrature(mean, var):
    """E[sigmoid(l)] for l ~ N(mean, var)."""
    z = np.linspace(-10, 10, 4001)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    mean, std = np.asarray(mean, float)[..., None], np.sqrt(np.asarray(var, float))[..., None]
    return expit(mean + std * z) @ weight


def offset_for(target, var):
    """The mean whose expected sigmoid is that of `target`."""
    return brentq(lambda mean: by_quadrature(mean, var) - expit(target), -50, 50)


apply = jax.jit(HEAD.apply)


def test_init_has_unit_prior_variance_and_even_odds():
    prior = Gaussian(jnp.zeros((400, 8)), jnp.ones((400, 8)))
    params = jax.jit(GaussianLogit(400, terms=9).init)(jax.random.key(0), prior)["params"]
    assert params["weight"].shape == (400, 8)
    # The mean of 3,200 squared normals: seven standard deviations, sqrt(2 / 3200) each.
    np.testing.assert_allclose(np.square(params["weight"]).sum(-1).mean(), 1.0, rtol=0.175)
    np.testing.assert_array_equal(params["prior_logit"], np.zeros(400))


def test_mean_and_variance_are_those_of_the_linear_read_out():
    prior_logit = np.array([-1.0, 0.0, 2.0], np.float32)
    mean, var = apply(variables(prior_logit), Q)
    assert mean.shape == var.shape == (2, 3)
    for b, c in np.ndindex(2, 3):
        w = WEIGHT[c].astype(np.float64)
        offset = offset_for(prior_logit[c], w @ w)
        np.testing.assert_allclose(mean[b, c], w @ Q.mean[b, c] + offset, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(var[b, c], w**2 @ Q.var[b, c], rtol=1e-5)


def test_variance_equals_that_of_samples():
    rng = np.random.default_rng(1)
    draws = Q.mean + np.sqrt(Q.var) * rng.standard_normal((20_000, 2, 3, 4))
    read = np.einsum("kbcz,cz->kbc", draws, WEIGHT)
    mean, var = apply(variables(np.zeros(3, np.float32)), Q)
    # Seven standard errors, sqrt(var / n) of the mean and var sqrt(2 / n) of the variance.
    assert (np.abs(read.mean(0) - mean) < 7 * np.sqrt(var / 20_000)).all()
    np.testing.assert_allclose(read.var(0), var, rtol=7 * np.sqrt(2 / 20_000))


@given(rate=st.floats(1e-3, 1 - 1e-3), scale=st.floats(0, 30))
@settings(max_examples=25)
def test_the_prior_gives_the_base_rate(rate, scale):
    mean, var = apply(variables(np.full(3, logit(rate), np.float32), scale * WEIGHT), PRIOR)
    np.testing.assert_allclose(by_quadrature(mean, var), rate, rtol=1e-4)


def test_the_probit_approximation_gives_the_base_rate_by_its_own_account():
    head = GaussianLogit(3, terms=0)
    mean, var = head.apply(variables(np.full(3, logit(0.2), np.float32)), PRIOR)
    np.testing.assert_allclose(expit(expected_sigmoid_logit(mean, var, 0)), 0.2, rtol=1e-5)


def test_the_base_rate_is_not_trained():
    def total(variables):
        mean, var = HEAD.apply(variables, Q)
        return (mean + var).sum()

    slope = jax.jit(jax.grad(total))(variables(np.array([-1.0, 0.5, 2.0], np.float32)))["params"]
    np.testing.assert_array_equal(slope["prior_logit"], np.zeros(3))
    assert (slope["weight"] != 0).all()


def test_each_label_reads_its_own_latent():
    plain = apply(variables(np.zeros(3, np.float32)), Q)
    changed = Gaussian(Q.mean + np.array([[0], [1], [0]]), Q.var + np.array([[0], [1], [0]]))
    other = apply(variables(np.zeros(3, np.float32)), changed)
    for before, after in zip(plain, other, strict=True):
        np.testing.assert_array_equal(before[:, [0, 2]], after[:, [0, 2]])
        assert (before[:, 1] != after[:, 1]).all()


# ---- heads on joined vectors --------------------------------------------------------------------

X = RNG.normal(size=(5, 3, 6)).astype(np.float32)


def read(params, x):
    """A `JointHead` of one set of weights, in float64."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    h = np.maximum(x @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0)
    return (h @ params["out"]["kernel"] + params["out"]["bias"])[..., 0]


@pytest.mark.parametrize("labels", [3, None])
def test_a_joint_head_is_one_per_label_or_one_for_all(labels):
    module = JointHead(7, 0.0, labels)
    got, variables = jax.jit(module.init_with_output, static_argnums=2)(jax.random.key(0), X, True)
    # With biases too, which start at zero.
    params = jax.tree.map(lambda p: p + 0.1, variables["params"])
    got = jax.jit(module.apply, static_argnums=2)({"params": params}, X, True)
    if labels is None:
        want = read(params, X)
    else:
        own = [jax.tree.map(lambda p, c=c: p[c], params) for c in range(labels)]
        want = np.stack([read(p, X[:, c]) for c, p in enumerate(own)], 1)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_each_label_of_a_joint_head_starts_as_a_layer_of_its_own():
    module = JointHead(50, 0.0, 3)
    variables = jax.jit(module.init, static_argnums=2)(jax.random.key(0), np.ones((1, 3, 40)), True)
    kernels = np.asarray(variables["params"]["hidden"]["kernel"])
    assert kernels.shape == (3, 40, 50)
    # LeCun's deviation, 1 / sqrt(inputs): of 2,000 draws, within ten standard errors.
    np.testing.assert_allclose(kernels.std((1, 2)) * np.sqrt(40), 1, atol=10 / np.sqrt(4000))
    assert all((kernels[a] != kernels[b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))
