"""Pooled statistics: a short path from a sequence's mean and spread to its label features."""

import chex
import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from lddu.nn.dropout import Dropout


def masked_mean_std(values: Array, mask: Array) -> tuple[Array, Array]:
    """Computes the mean and the standard deviation over real steps.

    Args:
      values: (B, T, D) features; what stands at masked steps is ignored.
      mask: (B, T) bool, True at real steps.

    Returns:
      Two (B, D) arrays; both are 0 for a sample without real steps. The deviation is low by up to
      1e-3, which keeps gradients finite.
    """
    chex.assert_rank([values, mask], [3, 2])
    count = jnp.maximum(mask.sum(1), 1).astype(values.dtype)[:, None]
    values = jnp.where(mask[..., None], values, 0.0)
    mean = values.sum(1) / count
    centred = jnp.where(mask[..., None], values - mean[:, None], 0.0)
    # The epsilon keeps the root's gradient finite at zero variance; its root is subtracted again.
    return mean, jnp.sqrt(jnp.square(centred).sum(1) / count + 1e-6) - 1e-3


class PooledStatistics(nn.Module):
    """Label features from the masked mean and standard deviation of the inputs.

    A linear bottleneck, GELU, and one linear map per label. Small data sets may not suffice to
    train attention, while such statistics need few parameters.

    Attributes:
      width: Width of the bottleneck.
      labels: Number of labels C.
      hidden: Width of the label features.
      dropout: Dropout rate on the statistics and on the bottleneck.
    """

    width: int
    labels: int
    hidden: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, values: Array, mask: Array, deterministic: bool) -> Array:
        """Maps features (B, T, D), real where `mask` (B, T) is True, to (B, C, hidden)."""
        x = jnp.concatenate(masked_mean_std(values, mask), axis=-1)
        x = Dropout(self.dropout)(x, deterministic)
        x = nn.gelu(nn.Dense(self.width, name="bottleneck")(x))
        x = Dropout(self.dropout)(x, deterministic)
        return nn.DenseGeneral((self.labels, self.hidden), name="per_label")(x)
