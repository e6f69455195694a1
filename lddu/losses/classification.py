"""The likelihood of hard and soft multi-label targets."""

import jax.numpy as jnp
from jax import Array


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Cross-entropy in nats of Bernoulli predictions against targets in [0, 1].

    Args:
      logits: (...,) log-odds.
      labels: (...,) probability that the label is present: 0, 1, or a share of votes.

    Returns:
      (...,) non-negative losses; finite, with finite gradients, for every finite logit.
    """
    return jnp.maximum(logits, 0.0) - logits * labels + jnp.log1p(jnp.exp(-jnp.abs(logits)))
