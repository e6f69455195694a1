"""Packed rows, strides and bfloat16 leave the model what it is."""

import functools

import jax
import numpy as np
import pytest

from lddu import LDDU
from lddu.config import ExecutionConfig
from lddu.packing.plan import first_fit, lengths, widths
from lddu.packing.structs import Packing
from tests.toy_model import (
    ROWS,
    STRIDES,
    build,
    change,
    close,
    finite,
    jit,
    make_batch,
    trained_on,
)

HALF = ExecutionConfig(dtype="bfloat16")


def sparse():
    """Short and long sequences, some with gaps, NaN at masked steps, and a row without anything."""
    batch = make_batch()
    masks = {
        "text": ["1000", "1000", "1101", "1111", "1000"],
        "audio": ["10", "11", "01", "11", "10"],
        "vision": ["010000", "110110", "110000", "111111", "001000"],
    }
    for name, rows in masks.items():
        mask = np.array([[step == "1" for step in row] for row in rows])
        values = np.where(mask[..., None], batch.modalities[name].values, np.float32(np.nan))
        batch = change(batch, name, values, mask, batch.present[name] & (np.arange(ROWS) != 3))
    return batch


def pack(cfg, batch):
    packing = {}
    for name, steps in lengths(batch, cfg).items():
        slots, rows = first_fit(steps[None], widths(batch, cfg)[name])
        packing[name] = Packing(slots[0], int(rows[0]))
        assert rows[0] < (steps > 0).sum()  # some share
    return packing


@functools.cache
def with_slopes(strides=(1, 1, 1), **changes):
    """The jitted model with the gradient of `trained_on`: ((sum, prediction), gradient)."""
    cfg, variables, _ = build(strides=strides, **changes)
    model = LDDU(cfg, changes.get("execution", ExecutionConfig()))

    def run(variables, batch, packing=None):
        p = model.apply(variables, batch, packing=packing)
        return trained_on(p), p

    return cfg, variables, jit(jax.value_and_grad(run, has_aux=True))


def test_packed_equals_padded():
    cfg, variables, run = with_slopes(STRIDES)
    batch = sparse()
    padded = run(variables, batch)
    packing = pack(cfg, batch)
    assert {name: p.rows for name, p in packing.items()} == {"text": 2, "audio": 2, "vision": 3}
    packed = run(variables, batch, packing)
    close(packed, padded, atol=1e-5, rtol=1e-5)
    assert finite(packed)
    # What stands at padding does not matter to it either.
    zeros = jax.tree.map(lambda x: np.nan_to_num(x) if x.dtype == np.float32 else x, batch)
    close(run(variables, zeros, packing), packed, rtol=1e-6)


def test_packing_is_not_for_models_that_see_padding():
    cfg, variables, _ = build(mask_padding=False)
    with pytest.raises(ValueError, match=r"packing needs model\.mask_padding=True"):
        LDDU(cfg).apply(variables, sparse(), packing={"audio": Packing(np.zeros(ROWS, int), 2)})


def test_gradients_with_strides_are_finite_and_reach_every_parameter():
    _, variables, run = with_slopes(STRIDES)
    (_, p), slope = run(variables, sparse())
    assert finite((p, slope))
    assert np.shape(slope["params"]["encoder_vision"]["positions"]) == (3, 16)
    assert np.shape(slope["params"]["encoder_vision"]["project"]["kernel"]) == (2 * 2, 16)
    unused = [
        jax.tree_util.keystr(path)
        for path, g in jax.tree_util.tree_leaves_with_path(slope)
        if not np.any(g)
    ]
    assert unused == ["['params']['fusion']['head']['prior_logit']"]


def test_bfloat16_is_near_float32():
    cfg, variables, run = with_slopes(STRIDES, modalities=1)
    (_, want), slope = run(variables, sparse())
    half, _, run = with_slopes(STRIDES, modalities=1, execution=HALF)
    (_, got), other = run(variables, sparse())
    np.testing.assert_allclose(got.probs, want.probs, atol=3e-2)
    assert (got.probs != want.probs).any()
    assert all(x.dtype == np.float32 for x in jax.tree.leaves((got, other)))
    assert finite((got, other))
    shapes = [jax.eval_shape(LDDU(c).init, jax.random.key(0), sparse()) for c in (cfg, half)]
    assert jax.tree.leaves(shapes[0]) == jax.tree.leaves(shapes[1])  # the types too
    # The slopes point the same way.
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (slope, other))
    assert a @ b > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


def test_some_modalities_may_be_packed_and_in_bfloat16_too():
    cfg, variables, apply = build(2, strides=STRIDES, execution=HALF)
    padded = apply(variables, sparse())
    packed = apply(variables, sparse(), packing={"text": pack(cfg, sparse())["text"]})
    np.testing.assert_allclose(packed.probs, padded.probs, atol=1e-2)
