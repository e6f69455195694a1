"""Label heads: a Gaussian latent becomes a Gaussian logit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.gaussian import Gaussian


class GaussianLogit(nn.Module):
    """One linear read-out per label of its latent Gaussian.

    The offset is tied to the label's base rate: for the prior N(0, I), which is what fusion returns
    when every modality is missing, the expected probability is exactly the base rate. The base
    rate is data, set from the training labels (`LDDU.with_base_rate`) and not trained.
    """

    labels: int

    @nn.compact
    def __call__(self, z: Gaussian) -> tuple[Array, Array]:
        """Maps a Gaussian (..., C, Z) to the mean and the variance (..., C) of the logits."""
        w = self.param(
            "weight",
            nn.initializers.normal(z.mean.shape[-1] ** -0.5),
            (self.labels, z.mean.shape[-1]),
        )
        prior_logit = self.param("prior_logit", nn.initializers.zeros_init(), (self.labels,))
        variance_under_prior = jnp.square(w).sum(-1)
        offset = jax.lax.stop_gradient(prior_logit) * jnp.sqrt(
            1.0 + (jnp.pi / 8.0) * variance_under_prior
        )
        mean = (z.mean * w).sum(-1) + offset
        var = (z.var * jnp.square(w)).sum(-1)
        return mean, var
