import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.config import EncoderConfig
from lddu.nn.encoder import ModalityEncoder, windows

LENGTH, WIDTH = 6, 3
STEPS = np.array([6, 4, 1, 0])  # the last row is all padding
MASK = np.arange(LENGTH) < STEPS[:, None]
VALUES = np.random.default_rng(0).normal(size=(4, LENGTH, WIDTH)).astype(np.float32)

# Compiled without optimisation: these programs run for microseconds and compile for seconds.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def build(stride=1, **options):
    """Random variables (compiling no init), and the jitted encoder."""
    cfg = {"hidden": 8, "layers": 2, "heads": 2, "feed_forward": 5, "dropout": 0.0}
    cfg = EncoderConfig(**{**cfg, "attention_dropout": 0.0, **options})
    encoder = ModalityEncoder(cfg, LENGTH, stride)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), VALUES, MASK)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda x: rng.normal(0, 0.7, x.shape).astype(np.float32), shapes)
    return variables, jit(encoder.apply, static_argnames="deterministic")


@functools.cache
def gradients_of(stride=1):
    _, apply = build(stride)

    def total(variables, values, mask):
        real = windows(mask, stride).any(-1)
        return jnp.where(real[..., None], apply.__wrapped__(variables, values, mask), 0.0).sum()

    return jit(jax.grad(total, argnums=(0, 1)))


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4, -7.0])
def test_what_stands_at_padding_changes_nothing(filler, stride):
    variables, apply = build(stride)
    filled = np.where(MASK[..., None], VALUES, np.float32(filler))
    plain, other = (apply(variables, v, MASK) for v in (VALUES, filled))
    np.testing.assert_array_equal(plain, other)
    before, after = (gradients_of(stride)(variables, v, MASK) for v in (VALUES, filled))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(after))
    np.testing.assert_array_equal(after[1][~MASK], 0)


@pytest.mark.parametrize("stride", [1, 4])
def test_masked_equals_subset(stride):
    variables, apply = build(stride)
    out = apply(variables, VALUES, MASK)
    assert out.shape == (4, -(-LENGTH // stride), 8)
    for row, steps in enumerate(STEPS[:3]):
        cut = VALUES[row : row + 1, :steps]
        alone = apply(variables, cut, np.ones((1, steps), bool))
        assert alone.shape[1] == -(-steps // stride)
        np.testing.assert_allclose(out[row, : alone.shape[1]], alone[0], atol=1e-5)


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


# ---- a stride -----------------------------------------------------------------------------------


def test_windows_fill_the_last_one_up_with_zeros():
    x = np.arange(1, 11).reshape(2, 5)
    want = [[[1, 2, 3], [4, 5, 0]], [[6, 7, 8], [9, 10, 0]]]
    np.testing.assert_array_equal(windows(x, 3), want)
    assert windows(np.zeros((2, 5, 7)), 2).shape == (2, 3, 2, 7)
    np.testing.assert_array_equal(windows(x, 1)[:, :, 0], x)


@pytest.mark.parametrize("steps", [LENGTH, LENGTH - 1])
def test_a_stride_is_a_strided_convolution(steps):
    # Without layers, what comes out is the norm of the projection plus positions.
    variables, apply = build(4, layers=0)
    params = variables["params"]
    values = VALUES[:, :steps]
    out = apply(variables, values, np.ones((4, steps), bool))
    mean, deviation = values.mean(-1, keepdims=True), values.std(-1, keepdims=True)
    normed = (values - mean) / np.sqrt(deviation**2 + 1e-5)
    normed = normed * params["input_norm"]["scale"] + params["input_norm"]["bias"]
    normed = np.pad(normed, [(0, 0), (0, 8 - steps), (0, 0)])
    kernel = params["project"]["kernel"].reshape(4, WIDTH, 8)
    y = jax.lax.conv_general_dilated(
        normed, kernel, (4,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
    )
    y = np.asarray(y) + params["project"]["bias"] + params["positions"]
    assert params["positions"].shape == (2, 8)
    y = (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)
    np.testing.assert_allclose(out, y * params["norm"]["scale"] + params["norm"]["bias"], atol=1e-5)


def test_masked_steps_inside_a_window_add_nothing():
    # The projection of a window less its second step is that of a kernel without that step.
    variables, apply = build(4, layers=0)
    gap = MASK.copy()
    gap[:, 1] = False
    kernel = np.copy(variables["params"]["project"]["kernel"]).reshape(4, WIDTH, 8)
    kernel[1] = 0
    without = {**variables["params"], "project": dict(variables["params"]["project"])}
    without["project"]["kernel"] = kernel.reshape(-1, 8)
    got, want = apply(variables, VALUES, gap), apply({"params": without}, VALUES, MASK)
    np.testing.assert_allclose(got[:2, 0], want[:2, 0], atol=1e-5)
    assert np.abs(got - apply(variables, VALUES, MASK))[:2, 0].max() > 1e-2


# ---- other ways to compute the same -------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_blocks_of_rows_are_the_same_layers(rows):
    def slopes(**options):
        variables, apply = build(**options)

        def total(variables, values):
            out = apply.__wrapped__(variables, values, MASK)
            return jnp.where(MASK[..., None], jnp.sin(out), 0.0).sum(), out

        return jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))(variables, VALUES)

    plain, blocks = slopes(), slopes(row_block=rows)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), plain, blocks)


def test_blocks_of_rows_draw_apart_and_as_often_as_asked():
    variables, apply = build(layers=1, dropout=0.5, row_block=1)
    full = np.ones((4, LENGTH), bool)
    same = np.repeat(VALUES[:1], 4, 0)

    def run(values, **options):
        return np.asarray(apply(variables, values, full, **options))

    rngs = {"dropout": jax.random.key(0)}
    drawn = run(same, deterministic=False, rngs=rngs)
    np.testing.assert_array_equal(drawn, run(same, deterministic=False, rngs=rngs))
    assert all(np.abs(drawn[0] - drawn[i]).max() > 1e-2 for i in (1, 2, 3))
    np.testing.assert_allclose(
        run(same), apply(variables, same[:1], full[:1]).repeat(4, 0), atol=1e-6
    )


def test_blocked_attention_is_the_same_attention():
    variables, apply = build()
    _, blocked = build(attention="blocked")
    plain, other = apply(variables, VALUES, MASK), blocked(variables, VALUES, MASK)
    np.testing.assert_allclose(plain, other, atol=1e-5)
    steps = jax.make_jaxpr(functools.partial(blocked.__wrapped__, variables))(VALUES, MASK)
    assert "scan" in str(steps)


def test_cudnn_attention_reaches_attend():
    with pytest.raises(ValueError, match="cuDNN attention is for bfloat16"):
        build(attention="cudnn")


def test_bfloat16_is_near_float32():
    variables, apply = build()
    _, half = build(dtype="bfloat16")
    want, got = apply(variables, VALUES, MASK), half(variables, VALUES, MASK)
    assert got.dtype == jnp.bfloat16
    # Outputs of a layer norm, of order one.
    np.testing.assert_allclose(got.astype(np.float32)[MASK], want[MASK], atol=0.05)


def test_training_without_dropout_has_the_same_gradients_and_inference_has_forward_mode():
    # Training's products have gradients of their own, which `jax.jvp` cannot pass.
    variables, apply = build()
    encoder = apply.__wrapped__

    def total(variables, deterministic):
        rngs = {"dropout": jax.random.key(0)}
        out = encoder(variables, VALUES, MASK, deterministic=deterministic, rngs=rngs)
        return jnp.sin(jnp.where(MASK[..., None], out, 0.0)).sum()

    slope = jit(jax.grad(total), static_argnums=1)
    got, want = slope(variables, False), slope(variables, True)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), got, want)
    # The derivative along a direction, forward and backward.
    rng = np.random.default_rng(2)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), variables)
    _, forward = jit(lambda v, d: jax.jvp(lambda v: total(v, True), (v,), (d,)))(
        variables, direction
    )
    parts = jax.tree.map(lambda g, d: (g * d).sum(), want, direction)
    np.testing.assert_allclose(forward, sum(jax.tree.leaves(parts)), rtol=1e-3)
