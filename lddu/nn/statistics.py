"""Pooled statistics: a short path from a sequence's mean and spread to its label features."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lddu.nn.dropout import Dropout


def masked_mean_std(values: Array, mask: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over real steps.

    Args:
      values: (B, T, D).
      mask: (B, T) bool.

    Returns:
      Two (B, D) arrays; both are 0 for a sample without real steps. Gradients are finite.
    """
    count = jnp.maximum(mask.sum(1), 1).astype(values.dtype)[:, None]
    values = jnp.where(mask[..., None], values, 0.0)
    mean = values.sum(1) / count
    centred = jnp.where(mask[..., None], values - mean[:, None], 0.0)
    # The epsilon keeps the root's gradient finite at zero variance; subtracted again after it.
    return mean, jnp.sqrt(jnp.square(centred).sum(1) / count + 1e-6) - 1e-3


class PooledStatistics(nn.Module):
    """Label features from the masked mean and standard deviation of the inputs.

    A linear bottleneck followed by one linear map per label. On a few thousand samples such
    statistics carry most of the signal, and attention adds to them.
    """

    width: int
    labels: int
    hidden: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, values: Array, mask: Array, deterministic: bool) -> Array:
        """Maps (B, T, D) features, real where `mask` (B, T), to (B, labels, hidden)."""
        x = jnp.concatenate(masked_mean_std(values, mask), axis=-1)
        x = Dropout(self.dropout)(x, deterministic)
        x = nn.gelu(nn.Dense(self.width, name="bottleneck")(x))
        x = Dropout(self.dropout)(x, deterministic)
        return nn.DenseGeneral((self.labels, self.hidden), name="per_label")(x)
