"""Diagonal Gaussians: the arithmetic behind latent distributions and their fusion."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array

from lddu import logistic_normal
from lddu.draws import unbatched

SMALLEST_VAR = 1e-18
"""Smallest variance that counts: the square of its precision fits into float32 and bfloat16."""


class Gaussian(NamedTuple):
    """A Gaussian with diagonal covariance.

    Attributes:
      mean: (..., Z) means.
      var: (..., Z) variances, non-negative. Logarithms, roots and precisions take them as at least
        `SMALLEST_VAR`, so that these and their gradients are finite.
    """

    mean: Array
    var: Array

    @property
    def log_var(self) -> Array:
        """The logarithms (..., Z) of the variances."""
        return jnp.log(_positive(self.var))

    @property
    def std(self) -> Array:
        """The standard deviations (..., Z)."""
        return jnp.sqrt(_positive(self.var))


def fuse(experts: Sequence[Gaussian], present: Sequence[Array]) -> tuple[Gaussian, Array]:
    """Multiplies Gaussian experts with a standard-normal prior (product of experts).

    Args:
      experts: M Gaussians of one shape (..., Z).
      present: M arrays that broadcast against (...,): 1 where the expert takes part, 0 where it is
        missing, so that its values, NaN included, are ignored. Fractions temper an expert.

    Returns:
      The fused Gaussian (..., Z), and weights (..., M): each expert's share of the fused precision,
      averaged over the Z latent dimensions. The weights sum to less than 1; the prior has the rest.

    References:
      Cao and Fleet, "Generalized Product of Experts", arXiv:1410.7827.
      Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning",
      NeurIPS 2018.

    Example:
      >>> import jax.numpy as jnp
      >>> from lddu import gaussian
      >>> expert = gaussian.Gaussian(jnp.array([2.0]), jnp.array([1.0]))
      >>> fused, weights = gaussian.fuse([expert], [jnp.array(1.0)])
      >>> fused.mean.tolist(), fused.var.tolist(), weights.tolist()
      ([1.0], [0.5], [0.5])
    """
    mean, precision, shares = 0.0, jnp.ones_like(experts[0].mean), []
    for a, expert in _selected(experts, present):
        share = a / _positive(expert.var)
        precision += share
        mean += share * expert.mean
        shares.append(share)
    weights = jnp.stack([(share / precision).mean(-1) for share in shares], axis=-1)
    return Gaussian(mean / precision, 1.0 / precision), weights


def average(experts: Sequence[Gaussian], present: Sequence[Array]) -> tuple[Gaussian, Array]:
    """Averages independent Gaussian variables and a standard-normal prior with equal weights.

    This is the baseline for `fuse`: each expert counts the same, whatever its variance.

    Args:
      experts: M Gaussians of one shape (..., Z).
      present: M arrays that broadcast against (...,): 1 where the expert takes part, 0 where it is
        missing, so that its values, NaN included, are ignored.

    Returns:
      The Gaussian of the mean of the variables (..., Z), and weights (..., M): with n experts
      present, 1 / (1 + n) for each of them; the prior has as much.

    Example:
      >>> import jax.numpy as jnp
      >>> from lddu import gaussian
      >>> expert = gaussian.Gaussian(jnp.array([2.0]), jnp.array([3.0]))
      >>> mean, weights = gaussian.average([expert], [jnp.array(1.0)])
      >>> mean.mean.tolist(), mean.var.tolist(), weights.tolist()
      ([1.0], [1.0], [0.5])
    """
    mean, var, taking_part = 0.0, jnp.ones_like(experts[0].var), []
    for a, expert in _selected(experts, present):
        mean += a * expert.mean
        var += a * expert.var
        taking_part.append(a[..., 0])
    weights = jnp.stack(taking_part, axis=-1)
    count = 1.0 + weights.sum(-1, keepdims=True)
    return Gaussian(mean / count, var / jnp.square(count)), weights / count


def kl_from_standard_normal(q: Gaussian) -> Array:
    """Computes KL(q || N(0, I)), summed over the last axis.

    Args:
      q: Gaussian of shape (..., Z).

    Returns:
      (...,) divergences in nats, non-negative.

    Example:
      >>> import jax.numpy as jnp
      >>> from lddu import gaussian
      >>> q = gaussian.Gaussian(mean=jnp.array([1.0, 0.0]), var=jnp.array([1.0, 1.0]))
      >>> float(gaussian.kl_from_standard_normal(q))
      0.5
    """
    return 0.5 * jnp.sum(q.var + jnp.square(q.mean) - 1.0 - q.log_var, axis=-1)


def expected_sigmoid_logit(mean: Array, var: Array, terms: int = 9) -> Array:
    """Returns the log-odds of E[sigmoid(l)] for l ~ N(mean, var), in closed form.

    With 9 terms, log-odds and probability are exact to rounding, in both tails: in float32, the
    error of the log-odds is below 1e-5 plus 1e-6 of the mean. Fewer terms have an error of at most
    `lddu.logistic_normal.relative_error(terms)` in the log-odds and a quarter of it in the
    probability: 9e-4 in the log-odds with 5 terms. The probit approximation is off by up to 0.018
    in probability, and without bound in the log-odds, where it understates large means.

    Args:
      mean: (...,) means of the logit.
      var: (...,) variances of the logit, non-negative.
      terms: Number of terms of the series, at least 3; 0 for the probit approximation
        `mean / sqrt(1 + pi var / 8)`.

    Returns:
      (...,) log-odds.

    References:
      MacKay, "The Evidence Framework Applied to Classification Networks", Neural Computation 1992,
      for the probit approximation; `lddu.logistic_normal` describes the series.

    Example:
      >>> import jax.numpy as jnp
      >>> from lddu import gaussian
      >>> mean, var = jnp.array([2.0, 2.0, 20.0]), jnp.array([0.0, 4.0, 4.0])
      >>> gaussian.expected_sigmoid_logit(mean, var).round(2).tolist()
      [2.0, 1.24..., 18.0]
    """
    if terms == 0:
        return mean * _probit_slope(var)
    return logistic_normal.log_odds(mean, var, terms)


def expected_sigmoid_mean(logit: Array, var: Array, terms: int = 9) -> Array:
    """Returns the mean for which `expected_sigmoid_logit` gives `logit`: its inverse.

    Args:
      logit: (...,) log-odds.
      var: (...,) variances of the logit, non-negative.
      terms: As in `expected_sigmoid_logit`.

    Returns:
      (...,) means, differentiable in both arguments.
    """
    if terms == 0:
        return logit / _probit_slope(var)
    return logistic_normal.mean_for(logit, var, terms)


def sample(key: Array, q: Gaussian, num_samples: int) -> Array:
    """Draws reparameterised samples.

    Args:
      key: PRNG key.
      q: Gaussian of shape (..., Z).
      num_samples: Number K of samples.

    Returns:
      (K, ..., Z) samples, differentiable in the mean and the variance.
    """
    shape, dtype = (num_samples, *q.mean.shape), q.mean.dtype
    noise = unbatched(lambda key: jax.random.normal(key, shape, dtype), key)
    return q.mean + q.std * noise


def _selected(
    experts: Sequence[Gaussian], present: Sequence[Array]
) -> Iterator[tuple[Array, Gaussian]]:
    """Yields each expert's presence (..., 1) and the expert, a standard normal where missing."""
    chex.assert_equal_shape([x for expert in experts for x in expert])
    for (mean, var), a in zip(experts, present, strict=True):
        a = jnp.broadcast_to(jnp.asarray(a, var.dtype), var.shape[:-1])[..., None]
        # A missing expert may contain anything, NaN included: select before any arithmetic.
        yield a, Gaussian(jnp.where(a > 0, mean, 0.0), jnp.where(a > 0, var, 1.0))


def _positive(var: Array) -> Array:
    return jnp.maximum(var, SMALLEST_VAR)


def _probit_slope(var: Array) -> Array:
    return jax.lax.rsqrt(1.0 + (jnp.pi / 8.0) * var)
