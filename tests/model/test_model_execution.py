"""Packed rows, forms of computation and bfloat16 give the same prediction."""

import chex
import jax
import numpy as np
import pytest

from lddu import LDDU
from lddu.config import ExecutionConfig
from lddu.packing.structs import Packing


def test_packed_equals_padded(models, tiny_model):
    cfg, batch = tiny_model.config, models.sparse_batch()
    packing = models.pack(cfg, batch)
    assert {name: p.rows for name, p in packing.items()} == {"text": 2, "audio": 2, "vision": 3}
    padded, padded_slope = tiny_model.learn(batch)
    run = models.learner(cfg)
    packed, slope = run(tiny_model.variables, batch, packing)
    chex.assert_trees_all_close(packed, padded, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(slope, padded_slope, rtol=1e-3, atol=1e-4)
    chex.assert_tree_all_finite((packed, slope))
    # Gaps and strides keep no parameter from its gradient.
    assert models.unused(slope) == ["['params']['fusion']['head']['prior_logit']"]
    # What stands at padding does not matter to it either.
    zeros = jax.tree.map(lambda x: np.nan_to_num(x) if x.dtype == np.float32 else x, batch)
    got = run(tiny_model.variables, zeros, packing)
    chex.assert_trees_all_close(got, (packed, slope), rtol=1e-5, atol=1e-5)


def test_packing_is_not_for_models_that_see_padding(models):
    cfg = models.configure(mask_padding=False)
    packing = {"audio": Packing(np.zeros(models.rows, int), 2)}
    with pytest.raises(ValueError, match=r"packing needs model\.mask_padding=True.* for audio"):
        LDDU(cfg).apply(models.variables(cfg), models.sparse_batch(), packing=packing)


def test_dropout_draws_do_not_depend_on_the_execution(models):
    rates = ("encoder.dropout", "encoder.attention_dropout", "label_dropout", "statistics_dropout")
    cfg = models.configure(1, **dict.fromkeys(rates, 0.4))
    batch = models.sparse_batch()
    packed = {"text": models.pack(cfg, batch)["text"]}
    planned = {"text": packed["text"].replace(rows=None)}  # the same plan, not carried out

    @jax.jit
    def run(variables, batch, packed, planned):
        rngs = {"dropout": jax.random.key(1)}
        blocks = LDDU(cfg, ExecutionConfig(row_block=2, attention="blocked"))
        return [
            LDDU(cfg).apply(variables, batch, False, planned, rngs=rngs).logits,
            blocks.apply(variables, batch, False, packed, rngs=rngs).logits,
        ]

    plain, other = run(models.variables(cfg), batch, packed, planned)
    np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-4)


def test_parameters_do_not_depend_on_the_execution(models):
    cfg, batch = models.configure(), models.sparse_batch()
    execution = ExecutionConfig(row_block=2, attention="blocked", dtype="bfloat16")
    shapes = jax.eval_shape(LDDU(cfg, execution).init, jax.random.key(0), batch)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes, models.variables(cfg))


HALF = ExecutionConfig(dtype="bfloat16")


def test_bfloat16_is_near_float32(models):
    cfg, batch = models.configure(1), models.sparse_batch()
    variables = models.variables(cfg)
    want, slope = models.learner(cfg)(variables, batch)
    got, other = models.learner(cfg, HALF)(variables, batch)
    np.testing.assert_allclose(got.probs, want.probs, atol=1e-2)
    assert (got.probs != want.probs).any()
    assert all(x.dtype == np.float32 for x in jax.tree.leaves((got, other)))
    chex.assert_tree_all_finite((got, other))
    # The slopes point the same way.
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (slope, other))
    assert a @ b > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


def test_some_modalities_may_be_packed_and_in_bfloat16_too(models):
    cfg, batch = models.configure(2), models.sparse_batch()
    variables, apply = models.variables(cfg), models.predictor(cfg, HALF)
    padded = apply(variables, batch)
    packed = apply(variables, batch, packing={"text": models.pack(cfg, batch)["text"]})
    np.testing.assert_allclose(packed.probs, padded.probs, atol=5e-2)
