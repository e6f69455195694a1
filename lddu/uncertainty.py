"""Where uncertainty comes from: the label itself, or disagreement between models.

Given K members' probabilities p_k of a binary label (an ensemble, or samples from a posterior) and
their mean p, total uncertainty splits into an aleatoric part, which the members expect even if they
were certain of themselves, and an epistemic part, their disagreement.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.gaussian import Gaussian

ArrayLike = jax.typing.ArrayLike


class Uncertainty(NamedTuple):
    """Parts of the predictive uncertainty; `total` = `aleatoric` + `epistemic` up to rounding.

    Attributes:
      aleatoric: (N, C), the part that no further data on the model would remove.
      epistemic: (N, C), disagreement of the members; 0 for one member.
      total: (N, C), uncertainty of the mean probability.
    """

    aleatoric: Array
    epistemic: Array
    total: Array


def decompose_variance(member_probs: ArrayLike) -> Uncertainty:
    """Splits the variance of a Bernoulli label by the law of total variance.

    With p = mean_k p_k:

        total     = p (1 - p)               in [0, 1/4]
        aleatoric = mean_k p_k (1 - p_k)
        epistemic = mean_k (p_k - p)^2      the variance over members, divided by K

    Args:
      member_probs: (K, N, C) probabilities in [0, 1]; any shape after the members' axis will do.

    Returns:
      `Uncertainty` of (N, C) variances.

    Raises:
      ValueError: If there is no member.

    References:
      Depeweg et al., "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and
      Risk-sensitive Learning", ICML 2018.
    """
    member_probs = _members(member_probs)
    mean = jnp.mean(member_probs, axis=0)
    return Uncertainty(
        aleatoric=jnp.mean(member_probs * (1 - member_probs), axis=0),
        epistemic=jnp.mean(jnp.square(member_probs - mean), axis=0),
        total=mean * (1 - mean),
    )


def decompose_entropy(member_probs: ArrayLike) -> Uncertainty:
    """Splits the entropy of a Bernoulli label, in nats.

    With p = mean_k p_k and H(p) = -p log p - (1 - p) log(1 - p):

        total     = H(p)                    in [0, log 2]
        aleatoric = mean_k H(p_k)
        epistemic = total - aleatoric       mutual information of label and member ("BALD")

    Args:
      member_probs: (K, N, C) probabilities in [0, 1]; any shape after the members' axis will do.

    Returns:
      `Uncertainty` of (N, C) entropies. Gradients are finite: at p = 0 and p = 1, where the slope
      of H is infinite, they are taken as 0.

    Raises:
      ValueError: If there is no member.

    References:
      Depeweg et al., as in `decompose_variance`.
      Houlsby et al., "Bayesian Active Learning for Classification and Preference Learning",
      arXiv:1112.5745.
      Gal et al., "Deep Bayesian Active Learning with Image Data", ICML 2017.
    """
    member_probs = _members(member_probs)
    total = _entropy(jnp.mean(member_probs, axis=0))
    aleatoric = jnp.mean(_entropy(member_probs), axis=0)
    # Non-negative by Jensen's inequality, and by rounding not quite.
    return Uncertainty(aleatoric, jnp.maximum(total - aleatoric, 0.0), total)


def latent_noise(latent: Gaussian) -> Array:
    """How noisy a modality seems to the model: the mean log-variance of its latent Gaussians.

    The logarithm, because in the mean of the variances themselves a few dimensions drown the rest.

    Args:
      latent: Of one modality, as in `Prediction.latents`: mean and variance (N, C, Z).

    Returns:
      (N, C) mean over the Z latent dimensions of log variance; take the mean over labels for one
      number per sample.
    """
    return jnp.mean(jnp.log(latent.var), axis=-1)


def decision_risk(probs: ArrayLike, thresholds: ArrayLike = 0.5) -> Array:
    """The probability that a decision is wrong, if the probabilities are true.

    That is 1 - p for a label decided present, where p reaches the threshold, and p for one decided
    absent. At thresholds of one half it is 1 - max(p, 1 - p); at others, such as those that
    maximise F1, that is no longer the risk of what is decided.

    Args:
      probs: (..., C) calibrated probabilities.
      thresholds: Scalar or (C,) decision thresholds, as `lddu.metrics.threshold` takes them.

    Returns:
      (..., C) risks in [0, 1].
    """
    probs = jnp.asarray(probs, float)
    return jnp.where(probs >= jnp.asarray(thresholds), 1.0 - probs, probs)


def _entropy(p: Array) -> Array:
    """Bernoulli entropy in nats, with 0 log 0 = 0."""
    inside = (p > 0) & (p < 1)
    p = jnp.where(inside, p, 0.5)  # selected before the logarithm, so that its gradient is finite
    return jnp.where(inside, -p * jnp.log(p) - (1 - p) * jnp.log1p(-p), 0.0)


def _members(member_probs: ArrayLike) -> Array:
    member_probs = jnp.asarray(member_probs, float)
    if member_probs.ndim < 1 or member_probs.shape[0] < 1:
        raise ValueError(
            f"member_probs has shape {member_probs.shape}, must be (members, samples, labels) "
            "with at least one member; for a single model pass probs[None]"
        )
    return member_probs
