"""The LDDU model: encoders, label attention, latent Gaussians, fusion, expected probability."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu import gaussian
from lddu.config import ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.encoder import ModalityEncoder
from lddu.nn.heads import GaussianLogit
from lddu.nn.label_attention import LabelAttention
from lddu.nn.latent import LatentGaussian
from lddu.nn.statistics import PooledStatistics
from lddu.structs import Batch, Prediction


class LDDU(nn.Module):
    """Latent emotion distributions, fused by precision, read out as calibrated probabilities.

    Use as any Flax module: `variables = LDDU(config).init(key, batch)`, then
    `prediction = LDDU(config).apply(variables, batch)`. With `deterministic=False` it needs an
    `rngs={"dropout": key}`, and with `config.samples > 0` also `"sample"`.

    References:
      Huang et al., "Latent Distribution Decoupling", arXiv:2502.13954, for the encoders and the
      latent distributions. Fusion and read-out are this library's (see `lddu.gaussian`).
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, batch: Batch, deterministic: bool = True) -> Prediction:
        """Predicts.

        Args:
          batch: A batch that fits the configuration (see `lddu.data.check_batch`).
          deterministic: Without dropout and with the closed-form expected probability.

        Returns:
          A `Prediction`; `aleatoric` and `epistemic` are left to `lddu.uncertainty`.
        """
        cfg = self.config
        labels = self.param(
            "label_embeddings", nn.initializers.normal(1.0), (len(cfg.labels), cfg.encoder.hidden)
        )
        latents: dict[str, Gaussian] = {}
        present = []
        for m in cfg.modalities:
            values = batch.modalities[m.name].values
            mask = batch.effective_mask(m.name)
            features = self._label_features(m.name, m.length, labels, values, mask, deterministic)
            latents[m.name] = LatentGaussian(
                cfg.latent_hidden,
                cfg.latent,
                cfg.variance_floor,
                cfg.initial_variance,
                name=f"latent_{m.name}",
            )(features)
            present.append(mask.any(1)[:, None])

        experts = [latents[name] for name in cfg.modality_names]
        fused, weights = gaussian.fuse(experts, present)
        alone = [gaussian.fuse([q], [a])[0] for q, a in zip(experts, present, strict=True)]

        head = GaussianLogit(len(cfg.labels), name="head")
        logit_mean, logit_var = head(fused)
        if cfg.samples > 0 and not deterministic:
            logits = self._sampled_logit(logit_mean, logit_var)
        else:
            logits = gaussian.expected_sigmoid_logit(logit_mean, logit_var)
        unimodal = [gaussian.expected_sigmoid_logit(*head(q)) for q in alone]
        return Prediction(
            probs=jax.nn.sigmoid(logits),
            logits=logits,
            logit_mean=logit_mean,
            logit_var=logit_var,
            latents=latents,
            fused=fused,
            weights=weights,
            unimodal_logits=jnp.stack(unimodal, axis=-1),
        )

    def _label_features(
        self, name: str, length: int, labels: Array, values: Array, mask: Array, deterministic: bool
    ) -> Array:
        cfg = self.config
        states = ModalityEncoder(cfg.encoder, length, name=f"encoder_{name}")(
            values, mask, deterministic
        )
        features = LabelAttention(cfg.label_dropout, name=f"label_attention_{name}")(
            labels, states, mask, deterministic
        )
        if cfg.statistics:
            features += PooledStatistics(
                cfg.statistics,
                len(cfg.labels),
                cfg.encoder.hidden,
                cfg.statistics_dropout,
                name=f"statistics_{name}",
            )(values, mask, deterministic)
        return features

    def _sampled_logit(self, mean: Array, var: Array) -> Array:
        """Log-odds of the mean over samples of sigmoid(logit).

        The read-out is linear, so sampling the logit is sampling the latent.
        """
        logit = Gaussian(mean, var)
        draws = gaussian.sample(self.make_rng("sample"), logit, self.config.samples)
        log_p = jax.nn.logsumexp(jax.nn.log_sigmoid(draws), axis=0)
        log_q = jax.nn.logsumexp(jax.nn.log_sigmoid(-draws), axis=0)
        return log_p - log_q

    @staticmethod
    def with_base_rate(variables: Any, base_rate: np.ndarray) -> Any:
        """Sets the probabilities that the model gives when it sees nothing.

        Args:
          variables: What `init` returned.
          base_rate: (C,) share of positives per label, strictly between 0 and 1.

        Returns:
          Variables with the base rate in place.
        """
        rate = jnp.asarray(base_rate, jnp.float32)
        head = variables["params"]["head"]
        head = {**head, "prior_logit": jnp.log(rate) - jnp.log1p(-rate)}
        return {**variables, "params": {**variables["params"], "head": head}}
