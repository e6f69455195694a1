import functools

import chex
import jax
import numpy as np
import pytest
from scipy.special import softmax

from lddu.nn.label_attention import LabelAttention
from lddu.packing.layout import lay_out
from lddu.packing.structs import Packing

STEPS = np.array([5, 2, 0])
MASK = np.arange(5) < STEPS[:, None]
RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(3, 5, 4)).astype(np.float32)
LABELS = RNG.normal(size=(2, 4)).astype(np.float32)


@functools.cache
def build(dropout=0.0):
    module = LabelAttention(dropout)
    shapes = jax.eval_shape(
        lambda: module.init(jax.random.key(0), LABELS, STATES, MASK, True)
    )  # compiling no init
    rng = np.random.default_rng(1)  # biases too must not be zero
    variables = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    return variables, jax.jit(module.apply, static_argnums=4)


@functools.cache
def slopes():
    """The sum over the output, with its gradients."""
    apply = LabelAttention(0.0).apply

    def total(variables, labels, states, packing):
        return apply(variables, labels, states, MASK, True, packing).sum()

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))


def dense(params, x):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params["bias"])


def test_equals_a_numpy_reference():
    variables, apply = build()
    params = variables["params"]
    got = apply(variables, LABELS, STATES, MASK, True)
    assert got.shape == (3, 2, 4)
    query = dense(params["query"], LABELS)
    for b, c in np.ndindex(2, 2):
        memory = dense(params["memory"], STATES[b, : STEPS[b]])
        weights = softmax(memory @ query[c] / 2.0)
        np.testing.assert_allclose(
            got[b, c], dense(params["out"], weights @ memory), rtol=1e-4, atol=1e-4
        )


def test_a_row_without_steps_yields_the_output_bias():
    variables, apply = build()
    got = apply(variables, LABELS, STATES, MASK, True)[2]
    np.testing.assert_allclose(got, np.tile(variables["params"]["out"]["bias"], (2, 1)), rtol=1e-5)


@pytest.mark.parametrize("filler", [np.nan, np.inf, 1e4])
def test_what_stands_at_padding_changes_nothing(filler):
    variables, _ = build()
    filled = np.where(MASK[..., None], STATES, np.float32(filler))
    before, after = (slopes()(variables, LABELS, states, None) for states in (STATES, filled))
    chex.assert_trees_all_equal(before, after)
    chex.assert_tree_all_finite(after)


def test_longer_padding_and_order_of_steps_change_nothing():
    variables, apply = build()
    plain = apply(variables, LABELS, STATES, MASK, True)
    states, mask = np.pad(STATES, [(0, 0), (0, 3), (0, 0)]), np.pad(MASK, [(0, 0), (0, 3)])
    np.testing.assert_allclose(apply(variables, LABELS, states, mask, True), plain, atol=1e-4)
    back = apply(variables, LABELS, STATES[:, ::-1], MASK[:, ::-1], True)
    np.testing.assert_allclose(back, plain, atol=1e-4)


def test_each_label_has_its_own_query():
    variables, apply = build()
    plain = apply(variables, LABELS, STATES, MASK, True)
    changed = LABELS + np.array([[0.0], [1.0]], np.float32)
    other = apply(variables, changed, STATES, MASK, True)
    np.testing.assert_array_equal(plain[:, 0], other[:, 0])
    assert np.abs(plain[:2, 1] - other[:2, 1]).max() > 1e-3


def test_dropout_only_when_not_deterministic():
    plain = build()[1](build()[0], LABELS, STATES, MASK, True)
    variables, apply = build(0.5)
    np.testing.assert_array_equal(apply(variables, LABELS, STATES, MASK, True), plain)
    one, other = (
        apply(variables, LABELS, STATES, MASK, False, rngs={"dropout": jax.random.key(k)})
        for k in (0, 1)
    )
    assert (one != plain).any()
    assert (one != other).any()


def test_packed_equals_padded():
    variables, _ = build()
    packing = Packing(np.array([0, 5, 0]), 2)
    pack = jax.jit(lambda x: lay_out(MASK, packing).pack(x))
    packed = pack(STATES)
    assert packed.shape == (2, 5, 4)
    value, got = slopes()(variables, LABELS, packed, packing)
    want_value, want = slopes()(variables, LABELS, STATES, None)
    want = (*want[:2], pack(want[2]))
    chex.assert_trees_all_close((value, got), (want_value, want), rtol=1e-4, atol=1e-5)


def test_states_of_bfloat16_give_float32():
    variables, apply = build()
    want = apply(variables, LABELS, STATES, MASK, True)
    got = apply(variables, LABELS, STATES.astype(jax.numpy.bfloat16), MASK, True)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=0.1)
