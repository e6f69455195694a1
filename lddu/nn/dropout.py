"""Dropout whose random bits are a hash of each element's step and feature.

A stateful generator writes its bits to memory first, which is a large part of the cost of training
on a CPU. A hash is computed where it is used, in the forward pass and again in the backward pass.
Its draws depend on the key and the element alone, not on vectorisation, devices or layout.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.packing.structs import Places


class Dropout(nn.Module):
    """Sets elements to zero at a rate and scales the others up, so that the mean stays the same.

    Attributes:
      rate: Dropout rate in [0, 1).

    References:
      Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
      JMLR 2014.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, deterministic: bool, places: Places | None = None) -> Array:
        """Applies dropout, with the key of the collection "dropout".

        Args:
          x: Array of any shape, or (R, T, D) with `places`.
          deterministic: Whether to return `x` unchanged.
          places: Place of each step in the packing plan; None numbers the elements in order.
        """
        if self.rate == 0 or deterministic:
            return x
        elements = None if places is None else step_elements(places, x.shape)
        return drop(self.make_rng("dropout"), x, self.rate, elements)


def drop(key: Array, x: Array, rate: float, elements: Array | None = None) -> Array:
    """Sets elements of `x` to zero at a rate and divides the others by 1 - rate.

    Args:
      key: PRNG key.
      x: Array of any shape.
      rate: Dropout rate in (0, 1).
      elements: Number of each element, of the shape of `x`; None numbers them in order.
    """
    elements = in_order(x.shape) if elements is None else elements
    keep = hashed_bits(key, elements) >= np.uint32(min(round(rate * 2**32), 2**32 - 1))
    return jnp.where(keep, x * np.asarray(1.0 / (1.0 - rate), x.dtype), jnp.zeros((), x.dtype))


def in_order(shape: tuple[int, ...]) -> Array:
    """Returns uint32 numbers of the elements of an array, in row-major order.

    Raises:
      ValueError: If there are 2**32 elements or more.
    """
    if math.prod(shape) >= 2**32:
        raise ValueError(f"shape {shape} has 2**32 elements or more, and hashes would repeat")
    return jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)


def step_elements(places: Places, shape: tuple[int, int, int]) -> Array:
    """Numbers the features of steps by the steps' places in the packing plan.

    Args:
      places: Place of each step.
      shape: (R, T, D).

    Returns:
      (R, T, D) uint32, equal to `in_order` where every step is at its own place.
    """
    _, steps, width = shape
    row, step = (x.astype(jnp.uint32)[..., None] for x in places)
    features = jnp.arange(width, dtype=jnp.uint32)
    return (row * np.uint32(steps) + step) * np.uint32(width) + features


def weight_elements(places: Places, shape: tuple[int, int, int, int]) -> Array:
    """Numbers the attention weights of steps by the steps' places in the packing plan.

    Args:
      places: Place of each step.
      shape: (R, H, T, T): rows, heads, queries, keys.

    Returns:
      (R, H, T, T) uint32, equal to `in_order` where every step is at its own place.
    """
    _, heads, steps, _ = shape
    row, step = (x.astype(jnp.uint32) for x in places)
    head = jnp.arange(heads, dtype=jnp.uint32)[None, :, None, None]
    query = (row[:, None, :, None] * np.uint32(heads) + head) * np.uint32(steps)
    return (query + step[:, None, :, None]) * np.uint32(steps) + step[:, None, None, :]


def hashed_bits(key: Array, elements: Array) -> Array:
    """Returns random uint32 bits: a hash of the key and of each element's number.

    Good enough for dropout, where the quality of `jax.random.bits` is not needed. The upper bits
    are the best.

    Args:
      key: PRNG key, typed or raw.
      elements: uint32 numbers of any shape.

    References:
      Wellons, "Prospecting for Hash Functions", 2018 (its two-round mixer), with a word of the key
      added before each round; the words are mixed first.
    """
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    first, second = key.reshape(-1)[:2].astype(jnp.uint32)
    # The keys of consecutive seeds differ by 1 in a word; one round would not hide that.
    second = _mix(second)
    first = _mix(first + second)
    return _mix(elements + first, second)


def _mix(x: Array, word: Array | None = None) -> Array:
    x = (x ^ (x >> 16)) * np.uint32(0x21F0AAAD)
    x = x ^ (x >> 15)
    x = x if word is None else x + word
    x = (x ^ (x >> 16)) * np.uint32(0x735A2D97)
    return x ^ (x >> 15)
