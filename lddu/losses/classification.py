"""The negative log-likelihood of hard and soft multi-label targets."""

import jax
from jax import Array

from lddu.names import named


@named(returns="entries")
def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Computes the cross-entropy of Bernoulli predictions against targets in [0, 1].

    Args:
      logits: (...,) log-odds.
      labels: (...,) probability that the label is present: 0, 1, or a share of votes. An unknown
        one (NaN) gives NaN; replace it first, as `lddu.losses.objective` does.

    Returns:
      (...,) non-negative losses in nats; finite, with finite gradients, for every finite logit.

    Example:
      >>> import numpy as np
      >>> from lddu import losses
      >>> losses.binary_cross_entropy(np.zeros(3), np.array([0.0, 0.5, 1.0])).round(3).tolist()
      [0.693..., 0.693..., 0.693...]
    """
    # The usual max(x, 0) - x y + log(1 + exp(-|x|)) has a wrong derivative at x = 0.
    return -labels * jax.nn.log_sigmoid(logits) - (1.0 - labels) * jax.nn.log_sigmoid(-logits)
