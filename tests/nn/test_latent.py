import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.nn.latent import LatentGaussian

X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
MODULE = LatentGaussian(hidden=(4, 6), latent=3, variance_floor=1e-4, initial_variance=1.0)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODULE.init)(jax.random.key(0), X)


@jax.jit
def apply(variables, x):
    return MODULE.apply(variables, x)


@jax.jit
def precision_slopes(variables, x):
    def precision(variables, x):
        q = MODULE.apply(variables, x)
        return (1 / q.var + jnp.log(q.var)).sum()

    return jax.grad(precision, argnums=(0, 1))(variables, x)


def test_equals_a_numpy_reference(variables):
    q = apply(variables, X)
    assert q.mean.shape == q.var.shape == (5, 2, 3)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    h = X.astype(np.float64)
    for name in ("hidden_0", "hidden_1"):
        h = np.maximum(h @ params[name]["kernel"] + params[name]["bias"], 0)
    mean, raw = (h @ params[n]["kernel"] + params[n]["bias"] for n in ("mean", "variance"))
    np.testing.assert_allclose(q.mean, mean, atol=1e-5)
    np.testing.assert_allclose(q.var, np.logaddexp(0, raw) + 1e-4, rtol=1e-5)


@pytest.mark.parametrize("initial", [2e-4, 0.1, 1.0, 10.0, 100.0, 1e4])
@pytest.mark.parametrize("hidden", [(), (4,)])
def test_starts_at_the_initial_variance(initial, hidden):
    module = LatentGaussian(hidden, 3, variance_floor=1e-4, initial_variance=initial)
    q, variables = module.init_with_output(jax.random.key(0), jnp.zeros((2, 3)))
    np.testing.assert_allclose(q.var, initial, rtol=1e-3)
    np.testing.assert_array_equal(q.mean, 0)
    assert np.ptp(variables["params"]["variance"]["kernel"]) > 0


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_variance_stays_above_its_floor_and_gradients_are_finite(variables, scale):
    floor = np.float32(1e-4)
    q = apply(variables, scale * X)
    assert (q.var >= floor).all()
    assert np.isfinite(q.mean).all()
    assert np.isfinite(q.var).all()
    slopes = precision_slopes(variables, scale * X)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(slopes))


def test_a_raw_variance_far_below_zero_reaches_the_floor(variables):
    params = {**variables["params"]}
    params["variance"] = {**params["variance"], "bias": jnp.full(3, -1e4)}
    np.testing.assert_array_equal(apply({"params": params}, X).var, np.float32(1e-4))
