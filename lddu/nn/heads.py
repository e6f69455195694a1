"""Label heads: a Gaussian latent becomes a Gaussian logit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.gaussian import Gaussian, expected_sigmoid_mean
from lddu.nn.dropout import Dropout


class GaussianLogit(nn.Module):
    """One linear read-out per label of its latent Gaussian.

    The offset is tied to the label's base rate: for the prior N(0, I), which fusion returns when
    every modality is missing, the expected probability is the base rate. The base rate is set from
    the training labels (`LDDU.with_base_rate`) and not trained.

    Attributes:
      labels: Number of labels C.
      terms: Terms of the expected probability, as in `lddu.gaussian.expected_sigmoid_logit`.
    """

    labels: int
    terms: int

    @nn.compact
    def __call__(self, z: Gaussian) -> tuple[Array, Array]:
        """Maps a Gaussian (..., C, Z) to the mean and the variance (..., C) of the logits."""
        w = self.param(
            "weight",
            nn.initializers.normal(z.mean.shape[-1] ** -0.5),
            (self.labels, z.mean.shape[-1]),
        )
        prior_logit = self.param("prior_logit", nn.initializers.zeros_init(), (self.labels,))
        offset = expected_sigmoid_mean(
            jax.lax.stop_gradient(prior_logit), jnp.square(w).sum(-1), self.terms
        )
        mean = (z.mean * w).sum(-1) + offset
        var = (z.var * jnp.square(w)).sum(-1)
        return mean, var


class JointHead(nn.Module):
    """Linear, dropout, ReLU, linear: from one vector per label to its logit.

    Attributes:
      hidden: Width of the hidden layer.
      dropout: Dropout rate on the hidden layer.
      labels: Number of labels C, each with weights of its own; None shares one set of weights.
    """

    hidden: int
    dropout: float
    labels: int | None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """Maps (B, C, D) to (B, C) logits."""
        dense = nn.Dense
        if self.labels is not None:
            # One matrix per label, applied in a single batched product.
            dense = nn.vmap(
                nn.Dense,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=1,
                out_axes=1,
                axis_size=self.labels,
            )
        x = dense(self.hidden, name="hidden")(x)
        x = nn.relu(Dropout(self.dropout)(x, deterministic))
        return dense(1, name="out")(x)[..., 0]
