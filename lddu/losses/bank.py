"""The memory bank of past features that contrasts draw on."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array

EMPTY = -1  # class id of entries to ignore


class Bank(NamedTuple):
    """A ring buffer of detached features.

    Attributes:
      features: (N, F) embeddings, as `lddu.losses.contrastive.embed` computes them.
      classes: (N,) int class ids; -1 where the slot is still empty.
      weights: (N,) positive weights of the entries; 1 in empty slots.
      cursor: () int, the slot that is written next.
    """

    features: Array
    classes: Array
    weights: Array
    cursor: Array


def empty_bank(size: int, width: int) -> Bank:
    """Returns a bank of `size` empty slots for features of `width`."""
    return Bank(
        jnp.zeros((size, width), jnp.float32),
        jnp.full((size,), EMPTY, jnp.int32),
        jnp.ones((size,), jnp.float32),
        jnp.zeros((), jnp.int32),
    )


def enqueue(bank: Bank, features: Array, classes: Array, weights: Array | None = None) -> Bank:
    """Writes features over the oldest entries; no gradient passes through the bank.

    Args:
      bank: The bank, with N slots.
      features: (n, F) embeddings.
      classes: (n,) int; entries of class -1 are left out and take no slot.
      weights: (n,) non-negative weights of the entries; those of weight 0 are left out too. None
        gives all weight 1.

    Returns:
      The new bank. If more than N entries are to be written, the last N are kept.
    """
    if weights is None:
        weights = jnp.ones(classes.shape[0], bank.weights.dtype)
    chex.assert_equal_shape_prefix([features, classes, weights], 1)
    size = bank.classes.shape[0]
    written = (classes != EMPTY) & (weights > 0)
    count = written.sum(dtype=jnp.int32)
    place = jnp.cumsum(written, dtype=jnp.int32) - 1 - jnp.maximum(count - size, 0)
    slots = jnp.where(written & (place >= 0), (bank.cursor + place) % max(size, 1), size)

    def write(old: Array, new: Array) -> Array:
        return old.at[slots].set(jax.lax.stop_gradient(new).astype(old.dtype), mode="drop")

    return Bank(
        write(bank.features, features),
        write(bank.classes, classes),
        write(bank.weights, weights),
        (bank.cursor + jnp.minimum(count, size)) % max(size, 1),
    )
