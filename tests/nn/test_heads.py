import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm

from lddu.gaussian import Gaussian, expected_sigmoid_logit
from lddu.nn.heads import GaussianLogit

HEAD = GaussianLogit(3)
RNG = np.random.default_rng(0)
Q = Gaussian(
    RNG.normal(size=(2, 3, 4)).astype(np.float32),
    RNG.uniform(0.1, 2, (2, 3, 4)).astype(np.float32),
)
WEIGHT = RNG.normal(size=(3, 4)).astype(np.float32)
PRIOR = Gaussian(jnp.zeros((3, 4)), jnp.ones((3, 4)))


def variables(prior_logit, weight=WEIGHT):
    return {"params": {"weight": jnp.asarray(weight), "prior_logit": jnp.asarray(prior_logit)}}


apply = jax.jit(HEAD.apply)


def test_init_has_unit_prior_variance_and_even_odds():
    params = GaussianLogit(400).init(
        jax.random.key(0), Gaussian(jnp.zeros((400, 8)), jnp.ones((400, 8)))
    )["params"]
    assert params["weight"].shape == (400, 8)
    np.testing.assert_allclose(np.square(params["weight"]).sum(-1).mean(), 1.0, rtol=0.1)
    np.testing.assert_array_equal(params["prior_logit"], np.zeros(400))


def test_mean_and_variance_are_those_of_the_linear_read_out():
    prior_logit = np.array([-1.0, 0.0, 2.0], np.float32)
    mean, var = apply(variables(prior_logit), Q)
    assert mean.shape == var.shape == (2, 3)
    for b, c in np.ndindex(2, 3):
        w = WEIGHT[c].astype(np.float64)
        offset = prior_logit[c] * np.sqrt(1 + np.pi / 8 * w @ w)
        np.testing.assert_allclose(mean[b, c], w @ Q.mean[b, c] + offset, rtol=1e-5)
        np.testing.assert_allclose(var[b, c], w**2 @ Q.var[b, c], rtol=1e-5)


def test_variance_equals_that_of_samples():
    rng = np.random.default_rng(1)
    draws = Q.mean + np.sqrt(Q.var) * rng.standard_normal((20_000, 2, 3, 4))
    read = np.einsum("kbcz,cz->kbc", draws, WEIGHT)
    mean, var = apply(variables(np.zeros(3, np.float32)), Q)
    np.testing.assert_allclose(read.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(read.var(0), var, rtol=0.06)


@given(rate=st.floats(1e-3, 1 - 1e-3), scale=st.floats(0, 30))
@settings(max_examples=40, deadline=None)
def test_the_prior_gives_the_base_rate(rate, scale):
    mean, var = apply(variables(np.full(3, logit(rate), np.float32), scale * WEIGHT), PRIOR)
    np.testing.assert_allclose(expit(expected_sigmoid_logit(mean, var)), rate, rtol=1e-4)


def test_the_base_rate_holds_for_the_exact_expectation_too():
    mean, var = apply(variables(np.full(3, logit(0.2), np.float32)), PRIOR)
    z = np.linspace(-10, 10, 4001)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    exact = expit(np.asarray(mean)[:, None] + np.sqrt(var)[:, None] * z) @ weight
    np.testing.assert_allclose(exact, 0.2, atol=0.02)


def test_the_base_rate_is_not_trained():
    def total(variables):
        mean, var = HEAD.apply(variables, Q)
        return (mean + var).sum()

    slope = jax.grad(total)(variables(np.array([-1.0, 0.5, 2.0], np.float32)))["params"]
    np.testing.assert_array_equal(slope["prior_logit"], np.zeros(3))
    assert (slope["weight"] != 0).all()


def test_each_label_reads_its_own_latent():
    plain = apply(variables(np.zeros(3, np.float32)), Q)
    changed = Gaussian(Q.mean + np.array([[0], [1], [0]]), Q.var + np.array([[0], [1], [0]]))
    other = apply(variables(np.zeros(3, np.float32)), changed)
    for before, after in zip(plain, other, strict=True):
        np.testing.assert_array_equal(before[:, [0, 2]], after[:, [0, 2]])
        assert (before[:, 1] != after[:, 1]).all()
