import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu.nn.statistics import PooledStatistics, masked_mean_std

STEPS = np.array([5, 3, 1, 0])
MASK = np.arange(5) < STEPS[:, None]
statistics = jax.jit(masked_mean_std)
VALUES = np.random.default_rng(0).normal(2, 3, (4, 5, 2)).astype(np.float32)


@given(
    x=hnp.arrays(np.float32, (3, 4, 2), elements=st.floats(-1e3, 1e3, width=32)),
    mask=hnp.arrays(bool, (3, 4)),
)
@settings(max_examples=25)
def test_equals_numpy_on_the_subset(x, mask):
    mean, std = statistics(x, mask)
    for row in range(3):
        kept = x[row, mask[row]].astype(np.float64)
        want = (kept.mean(0), kept.std(0)) if len(kept) else (np.zeros(2), np.zeros(2))
        # The deviation is low by up to 1e-3, the price of its finite gradient.
        np.testing.assert_allclose(mean[row], want[0], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(std[row], want[1], rtol=1e-4, atol=1.1e-3)


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4])
def test_padding_changes_nothing(filler):
    filled = np.where(MASK[..., None], VALUES, np.float32(filler))
    chex.assert_trees_all_equal(statistics(VALUES, MASK), statistics(filled, MASK))


def test_rows_without_steps_or_spread():
    mean, std = statistics(VALUES, MASK)
    np.testing.assert_array_equal(mean[3], 0)
    np.testing.assert_allclose(std[2:], 0, atol=1e-6)


@jax.jit
def slopes(x):
    def total(x):
        mean, std = masked_mean_std(x, MASK)
        return mean.sum() + std.sum()

    return jax.grad(total)(x)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradient_is_finite_at_zero_variance_and_extremes(scale):
    slope = slopes(np.float32(scale) * VALUES)
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[~MASK], 0)
    np.testing.assert_allclose(slope[2, 0], 1.0, rtol=1e-5)  # one step: the mean alone moves
    if not scale:
        np.testing.assert_allclose(slope[0], np.full((5, 2), 1 / 5), rtol=1e-5)


def test_module_ignores_padding_and_drops_only_in_training():
    module = PooledStatistics(width=4, labels=3, hidden=6, dropout=0.5)
    filled = np.where(MASK[..., None], VALUES, np.float32(np.nan))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), VALUES, MASK, True))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)

    @jax.jit
    def run(variables, values):
        def total(variables):
            out = module.apply(variables, values, MASK, True)
            return jnp.square(out).sum(), out

        return jax.grad(total, has_aux=True)(variables)

    plain, other = run(variables, VALUES), run(variables, filled)
    assert plain[1].shape == (4, 3, 6)
    chex.assert_trees_all_equal(plain, other)
    chex.assert_tree_all_finite(other)
    assert all((g != 0).any() for g in jax.tree.leaves(other[0]))

    drop = jax.jit(lambda k: module.apply(variables, VALUES, MASK, False, rngs={"dropout": k}))
    one, two = (drop(jax.random.key(k)) for k in (0, 1))
    assert (one != two).any()
    assert (one != plain[1]).any()
