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
      cursor: () int, the slot that is written next.
    """

    features: Array
    classes: Array
    cursor: Array


def empty_bank(size: int, width: int) -> Bank:
    """Returns a bank of `size` empty slots for features of `width`."""
    return Bank(
        jnp.zeros((size, width), jnp.float32),
        jnp.full((size,), EMPTY, jnp.int32),
        jnp.zeros((), jnp.int32),
    )


def enqueue(bank: Bank, features: Array, classes: Array) -> Bank:
    """Writes features over the oldest entries; no gradient passes through the bank.

    Args:
      bank: The bank, with N slots.
      features: (n, F) embeddings. If n exceeds N, the last N are kept.
      classes: (n,) int; -1 marks entries that later contrasts must ignore.

    Returns:
      The new bank.
    """
    chex.assert_equal_shape_prefix([features, classes], 1)
    size = bank.classes.shape[0]
    features = jax.lax.stop_gradient(features)[-size:]
    slots = (bank.cursor + jnp.arange(features.shape[0])) % max(size, 1)
    return Bank(
        bank.features.at[slots].set(features.astype(bank.features.dtype)),
        bank.classes.at[slots].set(classes[-size:].astype(bank.classes.dtype)),
        (bank.cursor + features.shape[0]) % max(size, 1),
    )
