import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.config import EncoderConfig
from lddu.nn.encoder import ModalityEncoder

LENGTH, WIDTH = 6, 3
STEPS = np.array([6, 4, 1, 0])  # the last row is all padding
MASK = np.arange(LENGTH) < STEPS[:, None]
VALUES = np.random.default_rng(0).normal(size=(4, LENGTH, WIDTH)).astype(np.float32)

# Compiled without optimisation: these programs run for microseconds and compile for seconds.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def build(**options):
    """Random variables (compiling no init), and the jitted encoder."""
    cfg = {"hidden": 8, "layers": 2, "heads": 2, "feed_forward": 5, "dropout": 0.0}
    cfg = EncoderConfig(**{**cfg, "attention_dropout": 0.0, **options})
    encoder = ModalityEncoder(cfg, LENGTH)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), VALUES, MASK)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.7, x.shape).astype(np.float32), shapes)
    return variables, jit(encoder.apply, static_argnames="deterministic")


@functools.cache
def gradients_of():
    _, apply = build()

    def total(variables, values, mask):
        return jnp.where(mask[..., None], apply.__wrapped__(variables, values, mask), 0.0).sum()

    return jit(jax.grad(total, argnums=(0, 1)))


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4, -7.0])
def test_what_stands_at_padding_changes_nothing(filler):
    variables, apply = build()
    filled = np.where(MASK[..., None], VALUES, np.float32(filler))
    plain, other = (apply(variables, v, MASK) for v in (VALUES, filled))
    np.testing.assert_array_equal(plain, other)
    before, after = (gradients_of()(variables, v, MASK) for v in (VALUES, filled))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_masked_equals_subset():
    variables, apply = build()
    out = apply(variables, VALUES, MASK)
    for row, steps in enumerate(STEPS[:3]):
        cut = VALUES[row : row + 1, :steps]
        alone = apply(variables, cut, np.ones((1, steps), bool))
        np.testing.assert_allclose(out[row, :steps], alone[0], atol=1e-5)


def test_real_steps_do_matter():
    variables, apply = build()
    changed = VALUES.copy()
    changed[1, 3, 0] += 1.0
    before, after = (np.asarray(apply(variables, v, MASK)) for v in (VALUES, changed))
    # Through attention, the change reaches the other steps of its own row and no other row.
    assert np.abs(before[1] - after[1]).max(-1)[:4].min() > 1e-4
    np.testing.assert_allclose(before[[0, 2, 3]], after[[0, 2, 3]], atol=1e-6)


def test_order_matters_through_positions():
    variables, apply = build()
    full = np.ones((1, LENGTH), bool)
    ahead = apply(variables, VALUES[:1], full)
    back = apply(variables, VALUES[:1, ::-1], full)
    assert np.abs(ahead - back[:, ::-1]).max() > 1e-3
    params = {**variables["params"], "positions": jnp.zeros((LENGTH, 8))}
    ahead, back = (apply({"params": params}, v, full) for v in (VALUES[:1], VALUES[:1, ::-1]))
    np.testing.assert_allclose(ahead, back[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4, 0.0])
def test_gradients_are_finite_with_padding_and_at_extremes(scale):
    gradients = gradients_of()(build()[0], scale * VALUES, MASK)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    np.testing.assert_array_equal(gradients[1][~MASK], 0)
    assert np.isfinite(build()[1](build()[0], scale * VALUES, MASK)).all()


def test_input_norm_takes_out_an_offset_and_a_scale():
    variables, apply = build()
    values = np.round(64 * VALUES) / 64  # exact in float32, also with the offset
    plain = apply(variables, values, MASK)
    for moved in (8000 + values, 50 * values):
        np.testing.assert_allclose(plain[MASK], apply(variables, moved, MASK)[MASK], atol=1e-3)
    variables, apply = build(layers=1, input_norm=False)
    assert "input_norm" not in variables["params"]
    moved = apply(variables, 1 + VALUES, MASK)
    assert np.abs(apply(variables, VALUES, MASK) - moved)[MASK].max() > 1e-2


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
def test_dropout_only_when_not_deterministic(rate):
    variables, apply = build(layers=1)
    plain = apply(variables, VALUES, MASK)
    variables, apply = build(layers=1, **{rate: 0.5})
    np.testing.assert_array_equal(apply(variables, VALUES, MASK), plain)
    one, again, other = (
        apply(variables, VALUES, MASK, deterministic=False, rngs={"dropout": jax.random.key(k)})
        for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other)[MASK].max() > 1e-2
    assert np.abs(one - plain)[MASK].max() > 1e-2
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        apply(variables, VALUES, MASK, deterministic=False)
