"""Diagonal Gaussians: the arithmetic behind latent distributions and their fusion.

Written out rather than taken from a distributions library: four formulas, each tested against
scipy or a closed form.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.draws import unbatched


class Gaussian(NamedTuple):
    """A diagonal Gaussian.

    Attributes:
      mean: (..., Z) means.
      var: (..., Z) variances, positive.
    """

    mean: Array
    var: Array


def fuse(experts: Sequence[Gaussian], present: Sequence[Array]) -> tuple[Gaussian, Array]:
    """Multiplies Gaussian experts with a standard-normal prior (product of experts).

    Args:
      experts: M Gaussians of one shape (..., Z).
      present: M arrays that broadcast against (...,): 1 where the expert takes part, 0 where it is
        missing and must not count. Fractions temper an expert.

    Returns:
      The fused Gaussian (..., Z), and weights (..., M): each expert's share of the fused precision,
      averaged over the Z latent dimensions. The weights sum to less than 1; the prior has the rest.

    References:
      Cao and Fleet, "Generalized Product of Experts", arXiv:1410.7827.
      Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning",
      NeurIPS 2018.
    """
    shape = jnp.broadcast_shapes(*(expert.mean.shape for expert in experts))
    precision = jnp.ones(shape, experts[0].mean.dtype)
    weighted_mean = jnp.zeros(shape, experts[0].mean.dtype)
    shares = []
    for expert, a in zip(experts, present, strict=True):
        a = jnp.broadcast_to(jnp.asarray(a, expert.var.dtype), shape[:-1])[..., None]
        # A missing expert may hold anything, NaN included: select before dividing or multiplying.
        share = a / jnp.where(a > 0, expert.var, 1.0)
        precision += share
        weighted_mean += share * jnp.where(a > 0, expert.mean, 0.0)
        shares.append(share)
    weights = jnp.stack([(share / precision).mean(-1) for share in shares], axis=-1)
    return Gaussian(weighted_mean / precision, 1.0 / precision), weights


def average(experts: Sequence[Gaussian], present: Sequence[Array]) -> tuple[Gaussian, Array]:
    """Averages independent Gaussian variables and a standard-normal prior with equal weights.

    The baseline for `fuse`: whatever an expert's variance, it counts as much as any other.

    Args:
      experts: M Gaussians of one shape (..., Z).
      present: M arrays that broadcast against (...,): 1 where the expert takes part, 0 where it is
        missing and must not count.

    Returns:
      The Gaussian of the mean of the variables (..., Z), and weights (..., M): with n experts
      present, 1 / (1 + n) for each of those, and the prior has as much.
    """
    shape = jnp.broadcast_shapes(*(expert.mean.shape for expert in experts))
    mean, var = jnp.zeros(shape, experts[0].mean.dtype), jnp.ones(shape, experts[0].var.dtype)
    taking_part = []
    for expert, a in zip(experts, present, strict=True):
        a = jnp.broadcast_to(jnp.asarray(a, expert.var.dtype), shape[:-1])[..., None]
        mean += a * jnp.where(a > 0, expert.mean, 0.0)
        var += a * jnp.where(a > 0, expert.var, 0.0)
        taking_part.append(a[..., 0])
    weights = jnp.stack(taking_part, axis=-1)
    count = 1.0 + weights.sum(-1, keepdims=True)
    return Gaussian(mean / count, var / jnp.square(count)), weights / count


def kl_from_standard_normal(q: Gaussian) -> Array:
    """KL(q || N(0, I)) in nats, summed over the last axis.

    Args:
      q: Gaussian of shape (..., Z).

    Returns:
      (...,) divergences, non-negative.
    """
    return 0.5 * jnp.sum(q.var + jnp.square(q.mean) - 1.0 - jnp.log(q.var), axis=-1)


def expected_sigmoid_logit(mean: Array, var: Array) -> Array:
    """Log-odds of E[sigmoid(l)] for l ~ N(mean, var), by the probit approximation.

    The error in probability is below 0.02 everywhere (tested against quadrature).

    Args:
      mean: (...,) means of the logit.
      var: (...,) variances of the logit, non-negative.

    Returns:
      (...,) `mean / sqrt(1 + pi var / 8)`.

    References:
      MacKay, "The Evidence Framework Applied to Classification Networks", Neural Computation 1992.
    """
    return mean * jax.lax.rsqrt(1.0 + (jnp.pi / 8.0) * var)


def sample(key: Array, q: Gaussian, num_samples: int) -> Array:
    """Draws reparameterised samples.

    Args:
      key: PRNG key.
      q: Gaussian of shape (..., Z).
      num_samples: K.

    Returns:
      (K, ..., Z) samples, differentiable in the mean and the variance.
    """
    shape, dtype = (num_samples, *q.mean.shape), q.mean.dtype
    noise = unbatched(lambda key: jax.random.normal(key, shape, dtype), key)
    return q.mean + jnp.sqrt(q.var) * noise
