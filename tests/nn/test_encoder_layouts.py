"""Under dropout, layout and form of the computation do not change what is computed.

Random bits are a hash of each step's place in the packing plan, so that real steps draw the same
whether the plan is carried out or not, in one block of rows or several, with full or blocked
attention.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.config import EncoderConfig, ExecutionConfig
from lddu.nn import attention
from lddu.nn.encoder import ModalityEncoder
from lddu.packing.layout import lay_out
from lddu.packing.structs import Packing

ROWS, LENGTH, WIDTH = 5, 4, 3
MASK = np.array(
    [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]], bool
)  # full, short, empty, with a gap
SLOTS = np.array([0, 7, 0, 4, 8], np.int32)  # rows: 0; 3 and 1; 4
VALUES = np.random.default_rng(0).normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32)
PLAIN = ExecutionConfig(attention="full")
CONFIG = EncoderConfig(
    hidden=4, layers=1, heads=2, feed_forward=5, dropout=0.4, attention_dropout=0.4
)


@functools.cache
def random_variables():
    encoder = ModalityEncoder(CONFIG, LENGTH)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), VALUES, MASK)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: rng.normal(0, 0.7, x.shape).astype(np.float32), shapes)


@functools.cache
def program(execution=PLAIN, packed=False, slopes=True, planned=True):
    """The jitted states of real steps, zero elsewhere, with or without their gradient."""
    encoder = ModalityEncoder(CONFIG, LENGTH, 1, execution)
    packing = Packing(SLOTS, 3 if packed else None) if planned else None

    def run(variables, values, mask, key):
        def total(variables, values):
            out = encoder.apply(variables, values, mask, False, packing, rngs={"dropout": key})
            out = jnp.where(mask[..., None], lay_out(mask, packing).unpack(out), 0.0)
            return jnp.sin(out).sum(), out

        if not slopes:
            return total(variables, values)[1], None
        slope, out = jax.grad(total, argnums=(0, 1), has_aux=True)(variables, values)
        return out, slope

    return jax.jit(run)


@pytest.mark.parametrize(
    ("row_block", "form", "packed", "slopes"),
    [
        (1, "blocked", False, True),
        (2, "full", True, True),
        (5, "full", False, False),
        (0, "blocked", True, False),
    ],
)
def test_draws_of_real_steps_do_not_depend_on_the_layout(
    row_block, form, packed, slopes, monkeypatch
):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocked attention in blocks of one row
    inputs = random_variables(), VALUES, MASK, jax.random.key(3)
    want, want_slopes = program()(*inputs)
    execution = ExecutionConfig(row_block=row_block, attention=form)
    got, got_slopes = program(execution, packed, slopes)(*inputs)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert all(np.any(g) for g in jax.tree.leaves(want_slopes))
    if slopes:
        chex.assert_trees_all_close(got_slopes, want_slopes, rtol=1e-3, atol=1e-4)


def test_draws_depend_on_the_key_and_the_sample():
    same, full = np.repeat(VALUES[:1], ROWS, 0), np.ones_like(MASK)
    for execution in (PLAIN, ExecutionConfig(row_block=1, attention="blocked")):
        run = program(execution, planned=False)
        one, again, other = (
            np.asarray(run(random_variables(), same, full, jax.random.key(k))[0]) for k in (0, 0, 1)
        )
        np.testing.assert_array_equal(one, again)
        assert np.abs(one - other).max() > 1e-2
        assert all(np.abs(one[0] - one[i]).max() > 1e-2 for i in range(1, ROWS))
