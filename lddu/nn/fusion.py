"""Fusion: from each modality's label features and latent Gaussians to one logit per label.

Every fusion is a module with the same call; `lddu.model.FUSIONS` lists them by the names that the
configuration uses. A fusion takes M label features (B, C, hidden) and M latent Gaussians (B, C, Z)
in the order of the configuration's modalities, `present` (B, M) bool and whether this is training,
and returns `Fused`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.typing import ArrayLike

from lddu import gaussian
from lddu.config import ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.heads import GaussianLogit, JointHead


@struct.dataclass
class Fused:
    """The result of a fusion; fields that have no meaning for it are None.

    Attributes:
      logits: (B, C) log-odds of the prediction.
      logit_mean: (B, C) mean of the Gaussian logit.
      logit_var: (B, C) variance of the Gaussian logit.
      posterior: Fused Gaussian, (B, C, Z).
      weights: (B, C, M) share of the fused precision that each modality supplies.
      unimodal_logits: (B, C, M) log-odds from each modality alone.
      direct_logits: (B, C) log-odds of the gate's direct probability.
    """

    logits: Array
    logit_mean: Array | None = None
    logit_var: Array | None = None
    posterior: Gaussian | None = None
    weights: Array | None = None
    unimodal_logits: Array | None = None
    direct_logits: Array | None = None


class GaussianFusion(nn.Module):
    """Combines the Gaussians of all modalities and reads out the expected probability.

    Attributes:
      config: The configuration of the model.
      combine: `lddu.gaussian.fuse`, the product of experts, or `lddu.gaussian.average`.

    References:
      Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning",
      NeurIPS 2018.
    """

    config: ModelConfig
    combine: Callable = gaussian.fuse

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses the modalities that are present; a missing one is left out."""
        here = [present[:, None, m] for m in range(len(latents))]
        posterior, weights = self.combine(latents, here)
        alone = [self.combine([q], [a])[0] for q, a in zip(latents, here, strict=True)]
        terms = self.config.expectation_terms
        head = GaussianLogit(len(self.config.labels), terms, name="head")
        # Of all modalities together, then of each alone: (B, C, 1 + M).
        mean, var = (jnp.stack(x, -1) for x in zip(*map(head, (posterior, *alone)), strict=True))
        logits = gaussian.expected_sigmoid_logit(mean, var, terms)
        unimodal = logits[..., 1:]
        mean, var, logits = (x[..., 0] for x in (mean, var, logits))
        if self.config.samples > 0 and train:
            logits = self._sampled_logit(mean, var)
        return Fused(
            logits=logits,
            logit_mean=mean,
            logit_var=var,
            posterior=posterior,
            weights=weights,
            unimodal_logits=unimodal,
        )

    def _sampled_logit(self, mean: Array, var: Array) -> Array:
        """Computes the log-odds of the mean over samples of sigmoid(logit).

        The read-out is linear, so sampling the logit is sampling the latent.
        """
        logit = Gaussian(mean, var)
        draws = gaussian.sample(self.make_rng("sample"), logit, self.config.samples)
        log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(draws), axis=0)
        log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-draws), axis=0)
        return log_p - log_q


class ConcatenationFusion(nn.Module):
    """Applies one head per label to the concatenated means and variances of all modalities.

    Attributes:
      config: The configuration of the model.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses all modalities; a missing one counts as zeros."""
        cfg = self.config
        joined = [*(q.mean for q in latents), *(q.var for q in latents)]
        x = concatenate(joined, jnp.tile(present, 2))
        head = JointHead(cfg.head_hidden, cfg.head_dropout, labels=len(cfg.labels), name="head")
        return Fused(logits=head(x, not train))


def concatenate(parts: Sequence[Array], present: Array) -> Array:
    """Concatenates features of several modalities, with zeros where one is missing.

    Args:
      parts: M arrays (B, C, D), in which D may differ.
      present: (B, M) bool, True where a sample has the modality.

    Returns:
      (B, C, sum of D).
    """
    chex.assert_rank([*parts, present], [3] * len(parts) + [2])
    masked = [jnp.where(present[:, i, None, None], x, 0.0) for i, x in enumerate(parts)]
    return jnp.concatenate(masked, axis=-1)


def set_base_rate(params: Mapping[str, Any], base_rate: ArrayLike) -> Mapping[str, Any]:
    """Sets the probabilities that a fusion predicts when all modalities are missing.

    Args:
      params: Parameters of a fusion; they are not changed.
      base_rate: (C,) share of positives per label, strictly between 0 and 1.

    Returns:
      Parameters with the base rate; the given ones if the fusion has no prior to fall back to.
    """
    head = params.get("head", {})
    if "prior_logit" not in head:
        return params
    rate = jnp.asarray(base_rate, head["prior_logit"].dtype)
    return {**params, "head": {**head, "prior_logit": jnp.log(rate) - jnp.log1p(-rate)}}
