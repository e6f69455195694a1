"""Dropout whose random bits cost almost nothing: a hash of each element's place.

A stateful generator has to write its bits to memory first, on CPU at a third of the cost of a whole
training step. A hash is computed where it is used, in the forward and again in the backward pass.
Its draws depend on the key and on the place alone, not on vectorisation or devices.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Dropout(nn.Module):
    """Sets elements to zero at a rate and scales the others up, so that the mean stays.

    Attributes:
      rate: In [0, 1).

    References:
      Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
      JMLR 2014.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Drops; the key comes from the collection "dropout"."""
        if self.rate == 0 or deterministic:
            return x
        return drop(self.make_rng("dropout"), x, self.rate)


def drop(key: Array, x: Array, rate: float) -> Array:
    """Elements of `x` set to zero at `rate` in (0, 1), the others divided by 1 - rate."""
    keep = hashed_bits(key, x.shape) >= np.uint32(min(round(rate * 2**32), 2**32 - 1))
    return jnp.where(keep, x * np.asarray(1.0 / (1.0 - rate), x.dtype), jnp.zeros((), x.dtype))


def hashed_bits(key: Array, shape: tuple[int, ...]) -> Array:
    """Random uint32 of a shape: a hash of the key and of each element's position.

    Good enough for dropout, where `jax.random.bits` is not needed. The upper bits are the best.

    Args:
      key: PRNG key, typed or raw.
      shape: Fewer than 2**32 elements.

    References:
      Wellons, "Prospecting for Hash Functions", 2018 (its two-round mixer), with a word of the key
      added before each round; the words are mixed first.
    """
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    first, second = key.reshape(-1)[:2].astype(jnp.uint32)
    if math.prod(shape) >= 2**32:
        raise ValueError(f"shape {shape} has more elements than there are hashes")
    # The keys of consecutive seeds differ by 1 in a word; one round would not hide that.
    second = _mix(second)
    first = _mix(first + second)
    return _mix(jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape) + first, second)


def _mix(x: Array, word: Array | None = None) -> Array:
    x = (x ^ (x >> 16)) * np.uint32(0x21F0AAAD)
    x = x ^ (x >> 15)
    x = x if word is None else x + word
    x = (x ^ (x >> 16)) * np.uint32(0x735A2D97)
    return x ^ (x >> 15)
