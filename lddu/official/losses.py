"""Losses of the official LDDU that the default model replaces."""

import chex
import jax
import jax.numpy as jnp
from jax import Array

from lddu.nn.softmax import masked_log_softmax

_NOBODYS = 1_000_000  # ids from here on occur once only


def random_bank_entries(key: Array, size: int, width: int) -> tuple[Array, Array]:
    """Returns the features and classes that the official code starts its memory bank with.

    The entries are noise that every anchor is pushed away from: standard normal features, scaled
    to unit norm over the bank (not over each feature vector), each of a class of its own.

    Args:
      key: PRNG key.
      size: Number of entries N.
      width: Number of features F of an entry.

    Returns:
      (N, F) features and (N,) int32 classes.
    """
    noise = jax.random.normal(key, (size, width))
    features = noise * jax.lax.rsqrt(jnp.square(noise).sum(0) + 1e-12)
    return features, _NOBODYS + jnp.arange(size, dtype=jnp.int32)


def official_spread(spread: Array, direct_logits: Array, weights: Array | None = None) -> Array:
    """Computes the official LDDU's calibration loss.

    It ties the spread to the predicted probability, not to the error, and its two softmaxes run
    over different axes: over all entries for the spread, over the labels of each sample for the
    probability.

    Args:
      spread: (B, C) norm of the concatenated standard deviations of all modalities.
      direct_logits: (B, C) log-odds of the direct probability.
      weights: (B,) non-negative weights; rows of weight 0 are ignored. Only ratios matter, because
        the loss depends on the number of rows. None weights all equally.

    Returns:
      () [KL(c || v) + KL(v || c)] / (2 B C) of the B rows that count.

    References:
      Huang et al., arXiv:2502.13954, as their code computes it.
    """
    chex.assert_equal_shape([spread, direct_logits])
    weights = jnp.ones(spread.shape[0]) if weights is None else jnp.asarray(weights)
    counted = (weights > 0).sum()
    weights = weights * (counted / jnp.where(counted > 0, weights.sum(), 1.0))  # 1 on average
    weights = jnp.broadcast_to(weights[:, None], spread.shape)
    where = weights > 0
    log_weights = jnp.log(jnp.where(where, weights, 1.0))
    log_v = masked_log_softmax((spread + log_weights).ravel(), where.ravel())
    log_v = log_v.reshape(spread.shape) - log_weights  # of a single copy
    log_c = jax.nn.log_softmax(jax.nn.sigmoid(jnp.where(where, direct_logits, 0.0)), axis=-1)
    terms = (jnp.exp(log_c) - jnp.exp(log_v)) * (log_c - log_v)
    return jnp.where(where, weights * terms, 0.0).sum() / (2 * jnp.maximum(where.sum(), 1))
