"""Multi-head attention over real steps, in forms that trade memory for time."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from lddu.nn.dropout import drop
from lddu.nn.matmul import product

Form = Literal["auto", "full", "blocked", "cudnn"]

_WEIGHTS = 2**24  # of a block of rows, if a row has not more by itself


def attend(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    dropout_key: Array | None = None,
    rate: float = 0.0,
    form: Form = "auto",
) -> Array:
    """Multi-head scaled dot-product attention over real steps only.

    Args:
      query: (B, S, H, K).
      key: (B, T, H, K).
      value: (B, T, H, K).
      mask: (B, T), or (B, S, T) where it differs between queries; bool, True where a key may be
        attended to. A query without any gives zeros.
      dropout_key: PRNG key for dropout on the attention weights, or None for none.
      rate: Dropout rate in [0, 1).
      form: "full" holds all (B, H, S, T) weights, also for the backward pass. "blocked" holds those
        of a block of rows only and computes them again in the backward pass. "cudnn" calls the
        fused kernel of cuDNN, in bfloat16 and without dropout, where JAX runs on a GPU; elsewhere
        it is "auto". "auto" is "full" for up to 2**24 weights, and "blocked" for more. Where sizes
        are symbols, as in an export, all are "full".

    Returns:
      (B, S, H, K). All forms agree but for rounding, and for which weights dropout hits.

    Raises:
      ValueError: If "cudnn" is asked for where it cannot do it.
    """
    if mask.ndim == 2:
        mask = mask[:, None, :]
    dropping = dropout_key is not None and rate > 0
    # Sizes that are symbols, as in an export, do not say how much there is, nor for which platform.
    sizes = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    known = all(isinstance(n, int) for n in sizes)
    if form == "cudnn":
        if dropping or query.dtype != jnp.bfloat16:
            raise ValueError(
                f"cuDNN attention is for bfloat16 without dropout; got {query.dtype}, dropout rate "
                f"{rate if dropping else 0}. Set encoder.dtype='bfloat16' and "
                "encoder.attention_dropout=0, or take another encoder.attention"
            )
        if known and jax.default_backend() == "gpu":
            return _cudnn(query, key, value, mask)
    if form == "full" or not known or (form != "blocked" and math.prod(sizes) <= _WEIGHTS):
        return _full(query, key, value, mask, dropout_key if dropping else None, rate)
    return _blocked(query, key, value, mask, dropout_key if dropping else None, rate)


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Softmax over the last axis where `mask` holds; all zeros where it holds nowhere.

    Args:
      logits: (..., T).
      mask: Broadcasts against (..., T), bool.

    Returns:
      (..., T) weights that sum to 1, or to 0 where nothing is left; gradients are finite.
    """
    lowest = jnp.finfo(logits.dtype).min
    logits = jnp.where(mask, logits, lowest)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    # Masked weights are 0 by now, but where all are masked: there the whole row is set to 0.
    any_left = mask.any(-1, keepdims=True)
    return weights * jnp.where(any_left, 1.0 / weights.sum(-1, keepdims=True), 0.0)


def _full(
    query: Array, key: Array, value: Array, mask: Array, dropout_key: Array | None, rate: float
) -> Array:
    precise = jnp.promote_types(query.dtype, jnp.float32)
    # The scale on the queries, of which there are fewer than of weights; the softmax in float32.
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    if dropout_key is None:
        logits = jnp.einsum("bshk,bthk->bhst", query, key, preferred_element_type=precise)
    else:
        logits = product(query.transpose(0, 2, 1, 3), key.transpose(0, 2, 3, 1), precise)
    weights = masked_softmax(logits, mask[:, None])
    if dropout_key is not None:
        weights = drop(dropout_key, weights, rate)
    return jnp.einsum("bhst,bthk->bshk", weights.astype(value.dtype), value)


def _cudnn(query: Array, key: Array, value: Array, mask: Array) -> Array:
    rows, queries, keys = len(query), query.shape[1], key.shape[1]
    mask = jnp.broadcast_to(mask, (rows, queries, keys))  # it takes no other shape
    seen = mask.any(-1)[..., None, None]
    # Its backward pass takes even lengths only.
    query, key, value = (
        jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0)]) for x in (query, key, value)
    )
    mask = jnp.pad(mask, [(0, 0), (0, queries % 2), (0, keys % 2)])
    out = jax.nn.dot_product_attention(
        query, key, value, mask=mask[:, None], implementation="cudnn"
    )
    return jnp.where(seen, out[:, :queries], 0)


def _blocked(
    query: Array, key: Array, value: Array, mask: Array, dropout_key: Array | None, rate: float
) -> Array:
    rows, steps, heads, _ = query.shape
    size = max(1, min(rows, _WEIGHTS // (heads * steps * key.shape[1])))
    count = -(-rows // size)

    def blocks(x: Array) -> Array:
        """(B, ...) -> (count, size, ...). Rows of a block lie apart: on a mesh, on all devices."""
        x = jnp.pad(x, [(0, count * size - rows), *[(0, 0)] * (x.ndim - 1)])
        return jnp.moveaxis(x.reshape(size, count, *x.shape[1:]), 1, 0)

    def one(block: tuple[Array, ...]) -> Array:
        number, *arrays = block
        own = None if dropout_key is None else jax.random.fold_in(dropout_key, number)
        return _full(*arrays, own, rate)

    arrays = map(blocks, (query, key, value, mask))
    out = jax.lax.map(jax.checkpoint(one), (jnp.arange(count), *arrays))
    return jnp.moveaxis(out, 0, 1).reshape(size * count, *query.shape[1:])[:rows]
