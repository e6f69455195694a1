"""From label features to latent Gaussians."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.gaussian import Gaussian

_LARGEST_LOG_VAR = 40.0


class LatentGaussian(nn.Module):
    """An MLP with a mean head and a variance head, shared over labels.

    The variance is softplus plus a floor, which bounds the precision; or, as in the official code,
    the exponential of a log-variance. That one is taken as between -40 and 40, so that squares of
    variances and precisions are finite; beyond, it keeps the gradient that leads back.

    Attributes:
      hidden: Widths of the MLP's hidden layers.
      latent: Number of latent dimensions Z.
      variance_floor: Smallest variance under "softplus".
      initial_variance: Variance before training under "softplus".
      variance: How a network output becomes a variance.

    References:
      Huang et al., arXiv:2502.13954, section 3.4.
    """

    hidden: tuple[int, ...]
    latent: int
    variance_floor: float
    initial_variance: float
    variance: Literal["softplus", "exp"] = "softplus"

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        """Maps (..., D) features to a Gaussian with (..., latent) mean and variance."""
        for i, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden_{i}")(x))
        mean = nn.Dense(self.latent, name="mean")(x)
        if self.variance == "exp":
            return Gaussian(mean, jnp.exp(_bounded(nn.Dense(self.latent, name="variance")(x))))
        # The inverse of softplus, so that training starts at `initial_variance`.
        start = self.initial_variance - self.variance_floor
        start = start + jnp.log(-jnp.expm1(-start))
        raw = nn.Dense(self.latent, bias_init=nn.initializers.constant(start), name="variance")(x)
        return Gaussian(mean, jax.nn.softplus(raw) + self.variance_floor)


def _bounded(log_var: Array) -> Array:
    """Clips log-variances to numbers that can be squared, with the gradient of the identity."""
    still = jax.lax.stop_gradient(log_var)
    return jnp.clip(still, -_LARGEST_LOG_VAR, _LARGEST_LOG_VAR) + (log_var - still)
