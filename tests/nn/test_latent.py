import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.nn.latent import LatentGaussian

X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
FLOOR = 1e-4


def build(variance="softplus"):
    """The module, and random variables (compiling no init)."""
    module = LatentGaussian((4, 6), 3, FLOOR, 1.0, variance)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), X))
    rng = np.random.default_rng(1)
    return module, jax.tree.map(lambda x: rng.normal(0, 0.5, x.shape).astype(np.float32), shapes)


MODULE, VARIABLES = build()


@jax.jit
def run(variables, x):
    """The Gaussian, and gradients of what precision and divergence are made of."""

    def precision(variables, x):
        q = MODULE.apply(variables, x)
        return (1 / q.var + jnp.log(q.var)).sum(), q

    slopes, q = jax.grad(precision, argnums=(0, 1), has_aux=True)(variables, x)
    return q, slopes


def reference(variables):
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    h = X.astype(np.float64)
    for name in ("hidden_0", "hidden_1"):
        h = np.maximum(h @ params[name]["kernel"] + params[name]["bias"], 0)
    return [h @ params[n]["kernel"] + params[n]["bias"] for n in ("mean", "variance")]


def test_equals_a_numpy_reference():
    q, _ = run(VARIABLES, X)
    assert q.mean.shape == q.var.shape == (5, 2, 3)
    mean, raw = reference(VARIABLES)
    np.testing.assert_allclose(q.mean, mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(q.var, np.logaddexp(0, raw) + FLOOR, rtol=1e-5)


def test_exponential_variance_equals_a_numpy_reference():
    module, variables = build("exp")
    chex.assert_trees_all_equal_shapes(variables, VARIABLES)
    q = jax.jit(module.apply)(variables, X)
    mean, raw = reference(variables)
    np.testing.assert_allclose(q.mean, mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(q.var, np.exp(raw), rtol=1e-4)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_starts_at_the_initial_variance(hidden):
    @jax.jit
    def start():
        return [
            LatentGaussian(hidden, 3, FLOOR, initial).init_with_output(
                jax.random.key(0), jnp.zeros((2, 3))
            )
            for initial in initials
        ]

    initials = (2e-4, 0.1, 1.0, 10.0, 100.0, 1e4)
    for initial, (q, variables) in zip(initials, start(), strict=True):
        np.testing.assert_allclose(q.var, initial, rtol=1e-3)
        np.testing.assert_array_equal(q.mean, 0)
        assert np.ptp(variables["params"]["variance"]["kernel"]) > 0


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_variance_stays_above_its_floor_and_gradients_are_finite(scale):
    q, slopes = run(VARIABLES, np.float32(scale) * X)
    assert (q.var >= np.float32(FLOOR)).all()
    chex.assert_tree_all_finite((q, slopes))


def test_a_raw_variance_far_below_zero_reaches_the_floor():
    params = {**VARIABLES["params"]}
    params["variance"] = {**params["variance"], "bias": np.full(3, -1e4, np.float32)}
    np.testing.assert_array_equal(run({"params": params}, X)[0].var, np.float32(FLOOR))
