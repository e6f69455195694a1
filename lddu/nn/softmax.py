"""Softmaxes over the entries that a mask selects."""

import chex
import jax
import jax.numpy as jnp
from jax import Array


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Computes the softmax over the last axis where `mask` is True, zeros where it never is.

    Args:
      logits: (..., T) logits; what stands at masked entries is ignored.
      mask: Bool, broadcasts against (..., T).

    Returns:
      (..., T) weights that sum to 1, or to 0 where nothing is left; gradients are finite.
    """
    lowest = jnp.finfo(logits.dtype).min
    logits = jnp.where(mask, logits, lowest)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    # Masked weights are 0 by now, except where all are masked: those rows are set to 0.
    any_left = mask.any(-1, keepdims=True)
    return weights * jnp.where(any_left, 1.0 / weights.sum(-1, keepdims=True), 0.0)


def masked_log_softmax(x: Array, mask: Array) -> Array:
    """Computes the log-softmax over the first axis where `mask` is True, zeros elsewhere.

    Args:
      x: (N, ...) logits; what stands at masked entries is ignored.
      mask: (N, ...) bool.

    Returns:
      (N, ...) log-probabilities; gradients are finite.
    """
    x = jnp.asarray(x)
    chex.assert_equal_shape([x, mask])
    x = jnp.where(mask, x, jnp.finfo(x.dtype).min)
    return jnp.where(mask, jax.nn.log_softmax(x, axis=0), 0.0)
