"""Fusion: from each modality's label features and latent Gaussians to one logit per label.

Every fusion is a module with the same call, listed in `FUSIONS`; the configuration names one. It
takes, in the order of the configuration's modalities, M label features (B, C, hidden) and M latent
Gaussians (B, C, Z), then `present` (B, M) bool and whether this is training, and returns `Fused`.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from lddu import gaussian
from lddu.config import ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.heads import GaussianLogit, JointHead


@struct.dataclass
class Fused:
    """What a fusion gives; fields that it has no meaning for are None.

    Attributes:
      logits: (B, C) log-odds of the prediction.
      logit_mean: (B, C) mean of the Gaussian logit.
      logit_var: (B, C) variance of the Gaussian logit.
      posterior: Fused Gaussian, (B, C, Z).
      weights: (B, C, M) share of the fused precision per modality.
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
    """One Gaussian from those of all modalities, then the expected probability of its logit.

    Attributes:
      config: The model.
      combine: `lddu.gaussian.fuse`, the product of experts, or `lddu.gaussian.average`.
    """

    config: ModelConfig
    combine: Callable = gaussian.fuse

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses; a missing modality takes no part."""
        here = [present[:, None, m] for m in range(len(latents))]
        posterior, weights = self.combine(latents, here)
        alone = [self.combine([q], [a])[0] for q, a in zip(latents, here, strict=True)]
        head = GaussianLogit(len(self.config.labels), name="head")
        mean, var = head(posterior)
        if self.config.samples > 0 and train:
            logits = self._sampled_logit(mean, var)
        else:
            logits = gaussian.expected_sigmoid_logit(mean, var)
        unimodal = [gaussian.expected_sigmoid_logit(*head(q)) for q in alone]
        return Fused(
            logits=logits,
            logit_mean=mean,
            logit_var=var,
            posterior=posterior,
            weights=weights,
            unimodal_logits=jnp.stack(unimodal, axis=-1),
        )

    def _sampled_logit(self, mean: Array, var: Array) -> Array:
        """Log-odds of the mean over samples of sigmoid(logit).

        The read-out is linear, so sampling the logit is sampling the latent.
        """
        logit = Gaussian(mean, var)
        draws = gaussian.sample(self.make_rng("sample"), logit, self.config.samples)
        log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(draws), axis=0)
        log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-draws), axis=0)
        return log_p - log_q


class ConcatenationFusion(nn.Module):
    """One head per label on the concatenated means and variances of all modalities."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses; a missing modality enters as zeros."""
        cfg = self.config
        joined = [*(q.mean for q in latents), *(q.var for q in latents)]
        x = _concatenate(joined, jnp.tile(present, 2))
        head = JointHead(cfg.head_hidden, cfg.head_dropout, labels=len(cfg.labels), name="head")
        return Fused(logits=head(x, not train))


class GateFusion(nn.Module):
    """The official LDDU's gate: p_dir decides between a head on means and one on deviations.

    p = p_dir p_mu + (1 - p_dir) p_sigma, where p_dir is read from the label features.

    References:
      Huang et al., arXiv:2502.13954, section 3.5.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses; a missing modality enters as zeros."""
        cfg, c = self.config, len(self.config.labels)

        def read(name: str, parts: Sequence[Array], labels: int | None) -> Array:
            head = JointHead(cfg.head_hidden, cfg.head_dropout, labels=labels, name=name)
            return head(_concatenate(parts, present), not train)

        direct = read("direct", features, None)
        mean = read("mean", [q.mean for q in latents], c)
        # A missing modality may hold anything: select before the root, for its gradient.
        variances = [
            jnp.where(present[:, m, None, None], q.var, 1.0) for m, q in enumerate(latents)
        ]
        deviation = read("deviation", [jnp.sqrt(v) for v in variances], c)
        # Mixed in log-probabilities, so that confident heads do not round to 0 or 1.
        log_gate, log_rest = jax.nn.log_sigmoid(direct), jax.nn.log_sigmoid(-direct)

        def mixed(sign: float) -> Array:
            return jnp.logaddexp(
                log_gate + jax.nn.log_sigmoid(sign * mean),
                log_rest + jax.nn.log_sigmoid(sign * deviation),
            )

        return Fused(logits=mixed(1.0) - mixed(-1.0), direct_logits=direct)


FUSIONS = {
    "precision": GaussianFusion,
    "equal": functools.partial(GaussianFusion, combine=gaussian.average),
    "gate": GateFusion,
    "concatenation": ConcatenationFusion,
}


def _concatenate(parts: Sequence[Array], present: Array) -> Array:
    """(B, C, sum D) of parts (B, C, D), zero where the part's column of `present` is False."""
    masked = [jnp.where(present[:, i, None, None], x, 0.0) for i, x in enumerate(parts)]
    return jnp.concatenate(masked, axis=-1)
