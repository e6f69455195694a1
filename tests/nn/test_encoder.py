import functools

import chex
import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.config import EncoderConfig, ExecutionConfig
from lddu.nn.encoder import ModalityEncoder, windows

LENGTH, WIDTH, HIDDEN = 6, 3, 8
STEPS = np.array([6, 4, 1, 0])  # the last row is all padding
MASK = np.arange(LENGTH) < STEPS[:, None]
FULL = np.ones_like(MASK)
VALUES = np.random.default_rng(0).normal(size=(4, LENGTH, WIDTH)).astype(np.float32)

close = functools.partial(chex.assert_trees_all_close, rtol=1e-3, atol=1e-4)
PLAIN = ExecutionConfig()
RNGS = {"dropout": jax.random.key(0)}


@functools.cache
def build(stride=1, execution=PLAIN, **options):
    """Random variables (compiling no init), and the encoder's `apply`."""
    cfg = {"hidden": HIDDEN, "layers": 1, "heads": 2, "feed_forward": 5, "dropout": 0.0}
    cfg = EncoderConfig(**{**cfg, "attention_dropout": 0.0, **options})
    encoder = ModalityEncoder(cfg, LENGTH, stride, execution)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), VALUES, MASK)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.7, x.shape).astype(np.float32), shapes)
    return variables, encoder.apply


@functools.cache
def program(stride=1, execution=PLAIN, deterministic=True, **options):
    """The jitted output and its gradient (variables, values): `(out, gradient)`."""
    _, apply = build(stride, execution, **options)

    def run(variables, values, mask):
        def total(variables, values):
            out = apply(variables, values, mask, deterministic, rngs=RNGS)
            real = windows(mask, stride).any(-1)
            return jnp.where(real[..., None], jnp.sin(out), 0.0).sum(), out

        slope, out = jax.grad(total, argnums=(0, 1), has_aux=True)(variables, values)
        return out, slope

    return jax.jit(run)


def encode(values=VALUES, mask=MASK, stride=1, variables=None):
    variables = build(stride)[0] if variables is None else variables
    return np.asarray(program(stride)(variables, values, mask)[0])


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4, -7.0])
def test_what_stands_at_padding_changes_nothing(filler, stride):
    variables, _ = build(stride)
    filled = np.where(MASK[..., None], VALUES, np.float32(filler))
    plain, other = (program(stride)(variables, v, MASK) for v in (VALUES, filled))
    chex.assert_trees_all_equal(plain, other)
    chex.assert_tree_all_finite(other)
    np.testing.assert_array_equal(other[1][1][~MASK], 0)


@pytest.mark.parametrize(("stride", "rows"), [(1, [1, 2]), (4, [1])])
def test_masked_equals_subset(stride, rows):
    variables, apply = build(stride)
    out = encode(stride=stride)
    assert out.shape == (4, -(-LENGTH // stride), HIDDEN)
    for row in rows:
        steps = STEPS[row]
        alone = jax.jit(apply)(variables, VALUES[row : row + 1, :steps], np.ones((1, steps), bool))
        assert alone.shape[1] == -(-steps // stride)
        np.testing.assert_allclose(out[row, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-4)


def test_real_steps_do_matter():
    changed = VALUES.copy()
    changed[1, 3, 0] += 1.0
    before, after = encode(), encode(changed)
    # Through attention, the change reaches the other steps of its own row and no other row.
    assert np.abs(before[1] - after[1]).max(-1)[:4].min() > 1e-4
    np.testing.assert_allclose(before[[0, 2, 3]], after[[0, 2, 3]], atol=1e-5)


def test_order_matters_through_positions():
    ahead, back = encode(VALUES, FULL), encode(VALUES[:, ::-1], FULL)
    assert np.abs(ahead - back[:, ::-1]).max() > 1e-3
    params = {**build()[0]["params"], "positions": np.zeros((LENGTH, HIDDEN), np.float32)}
    ahead, back = (encode(v, FULL, variables={"params": params}) for v in (VALUES, VALUES[:, ::-1]))
    np.testing.assert_allclose(ahead, back[:, ::-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e4, 0.0])
def test_finite_with_padding_and_at_extremes(scale):
    out, slopes = program()(build()[0], np.float32(scale) * VALUES, MASK)
    chex.assert_tree_all_finite((out, slopes))
    np.testing.assert_array_equal(slopes[1][~MASK], 0)


def test_input_norm_takes_out_an_offset_and_a_scale():
    values = np.round(64 * VALUES) / 64  # exact in float32, with the offset too
    plain = encode(values)
    for moved in (8000 + values, 50 * values):
        np.testing.assert_allclose(plain[MASK], encode(moved)[MASK], atol=1e-2)
    variables, apply = build(input_norm=False)
    assert "input_norm" not in variables["params"]
    apply = jax.jit(apply)
    moved = apply(variables, 1 + VALUES, MASK)
    assert np.abs(apply(variables, VALUES, MASK) - moved)[MASK].max() > 0.1


@pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
def test_dropout_only_when_not_deterministic(rate):
    variables, apply = build(**{rate: 0.5})

    @jax.jit
    def run(key):
        dropped = apply(variables, VALUES, MASK, False, rngs={"dropout": key})
        return dropped, apply(variables, VALUES, MASK)

    (one, plain), (again, _), (other, _) = (run(jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_allclose(plain, encode(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other)[MASK].max() > 1e-2
    assert np.abs(one - plain)[MASK].max() > 1e-2
    with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
        jax.eval_shape(lambda: apply(variables, VALUES, MASK, False))


# ---- a stride -----------------------------------------------------------------------------------


def test_windows_fill_the_last_one_up_with_zeros():
    x = np.arange(1, 11).reshape(2, 5)
    want = [[[1, 2, 3], [4, 5, 0]], [[6, 7, 8], [9, 10, 0]]]
    np.testing.assert_array_equal(windows(x, 3), want)
    assert windows(np.zeros((2, 5, 7)), 2).shape == (2, 3, 2, 7)
    np.testing.assert_array_equal(windows(x, 1)[:, :, 0], x)


@functools.cache
def without_layers():
    """A stride of 4 and no layers: what comes out is the norm of projection plus positions."""
    variables, apply = build(4, layers=0)
    return variables, jax.jit(apply)


@pytest.mark.parametrize("steps", [LENGTH, LENGTH - 1])
def test_a_stride_is_a_strided_convolution(steps):
    variables, apply = without_layers()
    params = variables["params"]
    values = VALUES[:, :steps].astype(np.float64)
    out = apply(variables, VALUES[:, :steps], np.ones((4, steps), bool))
    normed = (values - values.mean(-1, keepdims=True)) / np.sqrt(
        values.var(-1, keepdims=True) + 1e-5
    )
    normed = normed * params["input_norm"]["scale"] + params["input_norm"]["bias"]
    normed = np.pad(normed, [(0, 0), (0, 8 - steps), (0, 0)])
    kernel = params["project"]["kernel"].reshape(4, WIDTH, HIDDEN)
    y = np.stack([np.tensordot(normed[:, i : i + 4], kernel, 2) for i in (0, 4)], 1)
    y = y + params["project"]["bias"] + params["positions"]
    assert params["positions"].shape == (2, HIDDEN)
    y = (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)
    want = y * params["norm"]["scale"] + params["norm"]["bias"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


def test_masked_steps_inside_a_window_add_nothing():
    # The projection of a window less its second step is that of a kernel without that step.
    variables, apply = without_layers()
    gap = MASK.copy()
    gap[:, 1] = False
    kernel = np.copy(variables["params"]["project"]["kernel"]).reshape(4, WIDTH, HIDDEN)
    kernel[1] = 0
    without = {**variables["params"], "project": dict(variables["params"]["project"])}
    without["project"]["kernel"] = kernel.reshape(-1, HIDDEN)
    got, want = apply(variables, VALUES, gap), apply({"params": without}, VALUES, MASK)
    np.testing.assert_allclose(got[:2, 0], want[:2, 0], atol=1e-4)
    assert np.abs(got - apply(variables, VALUES, MASK))[:2, 0].max() > 1e-2


# ---- other ways to compute the same -------------------------------------------------------------


def test_blocks_of_rows_and_of_attention_are_the_same_layers():
    execution = ExecutionConfig(row_block=3, attention="blocked")
    got, want = (program(1, e)(build()[0], VALUES, MASK) for e in (execution, PLAIN))
    close(got, want)


@pytest.mark.parametrize("option", [{"row_block": 3}, {"attention": "blocked"}], ids=str)
def test_blocks_are_computed_one_after_the_other(option):
    def traced(**options):
        variables, apply = build(1, ExecutionConfig(**options))
        return str(jax.make_jaxpr(apply)(variables, VALUES, MASK))

    assert "scan" in traced(**option)
    assert "scan" not in traced()


def test_cudnn_attention_reaches_attend():
    with pytest.raises(ValueError, match="cuDNN attention needs bfloat16"):
        build(1, ExecutionConfig(attention="cudnn"))


def test_bfloat16_is_near_float32():
    variables, apply = build(1, ExecutionConfig(dtype="bfloat16"))
    got = jax.jit(apply)(variables, VALUES, MASK)
    assert got.dtype == jnp.bfloat16
    # Outputs of a layer norm, of order one; a bfloat16 has a relative error of 1/256.
    np.testing.assert_allclose(got.astype(np.float32)[MASK], encode()[MASK], atol=0.15)


def test_training_without_dropout_has_the_same_gradients():
    # Training's products have gradients of their own.
    got, want = (program(deterministic=d)(build()[0], VALUES, MASK) for d in (False, True))
    close(got, want)


def test_inference_has_forward_mode():
    # Training's products have not: functions with gradients of their own do not support `jax.jvp`.
    variables, apply = build()
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), variables)

    @jax.jit
    def forward(variables, direction):
        def total(variables):
            out = jnp.sin(apply(variables, VALUES, MASK))
            return jnp.where(MASK[..., None], out, 0.0).sum()

        return jax.jvp(total, (variables,), (direction,))

    _, slope = program()(variables, VALUES, MASK)
    parts = jax.tree.map(lambda g, d: (g * d).sum(), slope[0], direction)
    parts = np.array(jax.tree.leaves(parts))
    np.testing.assert_allclose(
        forward(variables, direction)[1], parts.sum(), atol=1e-4 * np.abs(parts).sum()
    )
