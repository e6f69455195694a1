"""Sources of uncertainty: the label itself, and disagreement between models.

Given the probabilities p_k that K members (an ensemble, or samples from a posterior) give to a
binary label, and their mean p, total uncertainty splits into an aleatoric part, which the members
expect on average, and an epistemic part, their disagreement.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.gaussian import SMALLEST_VAR, Gaussian
from lddu.names import named

ArrayLike = jax.typing.ArrayLike


class Uncertainty(NamedTuple):
    """The parts of predictive uncertainty; `total` = `aleatoric` + `epistemic` up to rounding.

    Attributes:
      aleatoric: (N, C) uncertainty that would remain if the members agreed.
      epistemic: (N, C) disagreement of the members; 0 for one member.
      total: (N, C) uncertainty of the mean probability.
    """

    aleatoric: Array
    epistemic: Array
    total: Array


@named(returns="entries")
def decompose_variance(member_probs: ArrayLike, probs: ArrayLike | None = None) -> Uncertainty:
    """Splits the variance of a Bernoulli label by the law of total variance.

    With p = mean_k p_k:

        total     = p (1 - p)               in [0, 1/4]
        aleatoric = mean_k p_k (1 - p_k)
        epistemic = mean_k (p_k - p)^2      the variance over members, divided by K

    The probability of a calibrated ensemble is not the mean of its calibrated members. For another
    probability than the mean, given as `probs`, total is probs (1 - probs), split in the same
    proportion.

    Args:
      member_probs: (K, N, C) probabilities in [0, 1]; any shape after the axis of members.
      probs: (N, C) probabilities of the ensemble, such as `Prediction.probs`; None takes the mean
        of the members.

    Returns:
      An `Uncertainty` of (N, C) variances.

    Raises:
      ValueError: If there are no members, or `probs` has another shape than each of them.

    References:
      Depeweg et al., "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and
      Risk-sensitive Learning", ICML 2018.

    Example:
      >>> import numpy as np
      >>> from lddu import uncertainty
      >>> parts = uncertainty.decompose_variance(np.array([[[0.25]], [[0.75]]]))  # two members
      >>> [float(part[0, 0]) for part in parts]  # aleatoric, epistemic, total
      [0.1875, 0.0625, 0.25]
    """
    member_probs = _members(member_probs)
    mean = jnp.mean(member_probs, axis=0)
    epistemic = jnp.mean(jnp.square(member_probs - mean), axis=0)
    total = mean * (1 - mean)
    if probs is None:
        aleatoric = jnp.mean(member_probs * (1 - member_probs), axis=0)
        return Uncertainty(aleatoric, epistemic, total)
    probs = jnp.asarray(probs, float)
    if probs.shape != mean.shape:
        raise ValueError(f"probs has shape {probs.shape}, must be {mean.shape} as of each member")
    # Members that are certain and agree have a variance of 0, and share 0 of it.
    share = jnp.minimum(epistemic / jnp.maximum(total, SMALLEST_VAR), 1.0)
    total = probs * (1 - probs)
    return Uncertainty((1 - share) * total, share * total, total)


@named(returns="entries")
def decompose_entropy(member_probs: ArrayLike) -> Uncertainty:
    """Splits the entropy of a Bernoulli label, in nats.

    With p = mean_k p_k and H(p) = -p log p - (1 - p) log(1 - p):

        total     = H(p)                    in [0, log 2]
        aleatoric = mean_k H(p_k)
        epistemic = total - aleatoric       mutual information of label and member ("BALD")

    Args:
      member_probs: (K, N, C) probabilities in [0, 1]; any shape after the axis of members.

    Returns:
      An `Uncertainty` of (N, C) entropies. Gradients are finite: at p = 0 and p = 1, where the
      slope of H is infinite, they are taken as 0.

    Raises:
      ValueError: If there are no members.

    References:
      Depeweg et al., "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and
      Risk-sensitive Learning", ICML 2018.
      Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
      arXiv:1112.5745.
      Gal et al., "Deep Bayesian Active Learning with Image Data", ICML 2017.

    Example:
      >>> import numpy as np
      >>> from lddu import uncertainty
      >>> parts = uncertainty.decompose_entropy(np.array([[[0.0]], [[1.0]]]))  # certain, opposite
      >>> [round(float(part[0, 0]), 4) for part in parts]  # aleatoric, epistemic, total
      [0.0, 0.6931, 0.6931]
    """
    member_probs = _members(member_probs)
    total = _entropy(jnp.mean(member_probs, axis=0))
    aleatoric = jnp.mean(_entropy(member_probs), axis=0)
    # Non-negative by Jensen's inequality, but for rounding.
    return Uncertainty(aleatoric, jnp.maximum(total - aleatoric, 0.0), total)


def latent_noise(latent: Gaussian) -> Array:
    """Returns how noisy a modality seems to the model: the mean log-variance of its latents.

    The logarithm keeps a few dimensions of large variance from dominating the mean.

    Args:
      latent: Gaussian of one modality, as in `Prediction.latents`: mean and variance (N, C, Z).

    Returns:
      (N, C) mean over the Z latent dimensions of the log variance; its mean over labels is one
      number per sample.

    Example:
      >>> import jax.numpy as jnp
      >>> from lddu import uncertainty
      >>> from lddu.gaussian import Gaussian
      >>> latent = Gaussian(jnp.zeros((1, 1, 2)), jnp.array([[[jnp.e, 1.0]]]))
      >>> round(float(uncertainty.latent_noise(latent)[0, 0]), 4)
      0.5
    """
    return jnp.mean(latent.log_var, axis=-1)


@named(returns="entries")
def decision_risk(probs: ArrayLike, thresholds: ArrayLike = 0.5) -> Array:
    """Returns the probability that a decision is wrong, given calibrated probabilities.

    It is 1 - p for a label decided present, where p reaches the threshold, and p for one decided
    absent. With thresholds of one half it is 1 - max(p, 1 - p); with others, such as those that
    maximise F1, it can be larger.

    Args:
      probs: (..., C) calibrated probabilities.
      thresholds: Scalar or (C,) decision thresholds, as for `lddu.metrics.threshold`.

    Returns:
      (..., C) risks in [0, 1].

    Example:
      >>> from lddu import uncertainty
      >>> uncertainty.decision_risk([[0.75, 0.25]], thresholds=[0.5, 0.125]).tolist()
      [[0.25, 0.75]]
    """
    probs = jnp.asarray(probs, float)
    return jnp.where(probs >= jnp.asarray(thresholds), 1.0 - probs, probs)


def _entropy(p: Array) -> Array:
    """Returns the entropy of Bernoulli(p) in nats, with 0 log 0 = 0."""
    inside = (p > 0) & (p < 1)
    p = jnp.where(inside, p, 0.5)  # before the logarithm, so that its gradient is finite
    return jnp.where(inside, -p * jnp.log(p) - (1 - p) * jnp.log1p(-p), 0.0)


def _members(member_probs: ArrayLike) -> Array:
    """Returns the probabilities as an array with at least one member."""
    member_probs = jnp.asarray(member_probs, float)
    if member_probs.ndim < 1 or member_probs.shape[0] < 1:
        raise ValueError(
            f"member_probs has shape {member_probs.shape}, must be (members, samples, labels) "
            "with at least one member; for a single model pass probs[None]"
        )
    return member_probs
