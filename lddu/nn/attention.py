"""Multi-head attention over real steps, in forms that trade memory for time."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import Array

from lddu.nn.dropout import drop, weight_elements
from lddu.nn.matmul import matmul
from lddu.nn.softmax import masked_softmax
from lddu.packing.structs import Places

Form = Literal["auto", "full", "blocked", "cudnn"]

_WEIGHTS = 2**24  # most attention weights held at once (a single row may exceed it)


def attend(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    dropout_key: Array | None = None,
    rate: float = 0.0,
    form: Form = "auto",
    places: Places | None = None,
) -> Array:
    """Computes multi-head scaled dot-product attention over real steps only.

    Args:
      query: (B, S, H, K) queries of S steps, H heads.
      key: (B, T, H, K) keys of T steps.
      value: (B, T, H, K) values.
      mask: (B, T) bool, or (B, S, T) where it differs between queries; True where a key may be
        attended to. A query without any such key gives zeros.
      dropout_key: PRNG key for dropout on the attention weights; None for no dropout.
      rate: Dropout rate in [0, 1).
      form: "full" stores all (B, H, S, T) weights, also for the backward pass. "blocked" stores
        those of a block of rows and computes them again in the backward pass. "cudnn" calls the
        fused kernel of cuDNN, in bfloat16 and without dropout, where JAX runs on a GPU; elsewhere
        it is "auto". "auto" is "full" for up to 2**24 weights and "blocked" for more. Where sizes
        are symbolic, as in an export, every form is "full".
      places: Place of each of the (B, T) steps in the packing plan, which keys the dropout; None
        where it is the row and the step number.

    Returns:
      (B, S, H, K). All forms agree up to rounding.

    Raises:
      ValueError: If "cudnn" is asked for with dropout or in another type than bfloat16.
    """
    if mask.ndim == 2:
        mask = mask[:, None, :]
    dropping = dropout_key is not None and rate > 0
    # Symbolic sizes, as in an export, tell neither how many weights there are nor the platform.
    sizes = (query.shape[0], query.shape[2], query.shape[1], key.shape[1])
    known = all(isinstance(n, int) for n in sizes)
    if form == "cudnn":
        if dropping or query.dtype != jnp.bfloat16:
            raise ValueError(
                f"cuDNN attention needs bfloat16 without dropout; got {query.dtype}, dropout rate "
                f"{rate if dropping else 0}. Set execution.dtype='bfloat16' and "
                "encoder.attention_dropout=0, or choose another execution.attention"
            )
        if known and jax.default_backend() == "gpu":
            return _cudnn(query, key, value, mask)
    if not dropping:
        dropout_key = None
    elif places is None:
        places = Places(jnp.arange(len(query))[:, None], jnp.arange(key.shape[1])[None])
    if form == "full" or not known or (form != "blocked" and math.prod(sizes) <= _WEIGHTS):
        return _full(query, key, value, mask, places, dropout_key, rate)
    return _blocked(query, key, value, mask, places, dropout_key, rate)


def _full(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    places: Places | None,
    dropout_key: Array | None,
    rate: float,
) -> Array:
    precise = jnp.promote_types(query.dtype, jnp.float32)
    # The queries are scaled because there are fewer of them than weights.
    query = query * (1.0 / math.sqrt(query.shape[-1]))
    if dropout_key is None:
        logits = jnp.einsum("bshk,bthk->bhst", query, key, preferred_element_type=precise)
    else:
        query, key = rearrange(query, "b s h k -> b h s k"), rearrange(key, "b t h k -> b h k t")
        logits = matmul(query, key, precise)
    weights = masked_softmax(logits, mask[:, None])
    if dropout_key is not None:
        weights = drop(dropout_key, weights, rate, weight_elements(places, weights.shape))
    return jnp.einsum("bhst,bthk->bshk", weights.astype(value.dtype), value)


def _cudnn(query: Array, key: Array, value: Array, mask: Array) -> Array:
    rows, queries, keys = len(query), query.shape[1], key.shape[1]
    mask = jnp.broadcast_to(mask, (rows, queries, keys))  # the kernel takes no other shape
    seen = mask.any(-1)[..., None, None]
    # The backward pass takes even lengths only.
    query, key, value = (
        jnp.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, 0), (0, 0)]) for x in (query, key, value)
    )
    mask = jnp.pad(mask, [(0, 0), (0, queries % 2), (0, keys % 2)])
    out = jax.nn.dot_product_attention(
        query, key, value, mask=mask[:, None], implementation="cudnn"
    )
    return jnp.where(seen, out[:, :queries], 0)


def _blocked(
    query: Array,
    key: Array,
    value: Array,
    mask: Array,
    places: Places | None,
    dropout_key: Array | None,
    rate: float,
) -> Array:
    rows, steps, heads, _ = query.shape
    size = max(1, min(rows, _WEIGHTS // (heads * steps * key.shape[1])))
    if places is not None:
        places = Places(*(jnp.broadcast_to(x, (rows, key.shape[1])) for x in places))

    def one(block: tuple[Array, ...]) -> Array:
        return _full(*block, dropout_key, rate)

    arrays = (query, key, value, mask, places)
    blocks = jax.tree.map(lambda x: split_rows(x, size), arrays)
    return join_rows(jax.lax.map(jax.checkpoint(one), blocks), rows)


def split_rows(x: Array, size: int) -> Array:
    """Splits (B, ...) into blocks, (count, size, ...), filled up with zeros.

    The rows of a block lie apart, so that on a mesh every device has some rows of each block.
    """
    count = -(-len(x) // size)
    x = jnp.pad(x, [(0, count * size - len(x)), *[(0, 0)] * (x.ndim - 1)])
    return rearrange(x, "(size count) ... -> count size ...", count=count)


def join_rows(blocks: Array, rows: int) -> Array:
    """Joins the blocks of `split_rows` to (B, ...) with B = `rows`."""
    return rearrange(blocks, "count size ... -> (size count) ...")[:rows]
