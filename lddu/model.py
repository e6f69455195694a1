"""The LDDU model: encoders, label attention, latent Gaussians, fusion, expected probability."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu import gaussian
from lddu.config import ExecutionConfig, ModalityConfig, ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.encoder import ModalityEncoder, windows
from lddu.nn.fusion import ConcatenationFusion, GaussianFusion
from lddu.nn.label_attention import LabelAttention
from lddu.nn.latent import LatentGaussian
from lddu.nn.statistics import PooledStatistics
from lddu.official.gate import GateFusion
from lddu.packing.structs import Packing
from lddu.structs import Batch, Modality, Prediction

FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "precision": GaussianFusion,
    "equal": functools.partial(GaussianFusion, combine=gaussian.average),
    "gate": GateFusion,
    "concatenation": ConcatenationFusion,
}
"""Name in `ModelConfig.fusion` -> its module."""


class LDDU(nn.Module):
    """Latent emotion distributions, fused by precision, read out as calibrated probabilities.

    Use as any Flax module: `variables = LDDU(config).init(key, batch)`, then
    `prediction = LDDU(config).apply(variables, batch)`. With `deterministic=False` it needs an
    `rngs={"dropout": key}`, and with `config.samples > 0` also `"sample"`.

    References:
      Huang et al., "Latent Distribution Decoupling", arXiv:2502.13954, for the encoders and the
      latent distributions. Fusion and read-out are this library's unless the configuration says
      otherwise (see `lddu.nn.fusion`).
    """

    config: ModelConfig
    execution: ExecutionConfig = ExecutionConfig()

    @nn.compact
    def __call__(
        self,
        batch: Batch,
        deterministic: bool = True,
        packing: Mapping[str, Packing] | None = None,
    ) -> Prediction:
        """Predicts.

        Args:
          batch: A batch that fits the configuration (see `lddu.data.check_batch`).
          deterministic: Without dropout and with the closed-form expected probability.
          packing: name -> where the encoder puts the steps of that modality (see
            `lddu.packing.plan`), for sequences far shorter than their padding; the others stay
            padded. It changes the cost, not the result, and needs `config.mask_padding`.

        Returns:
          A `Prediction`; `aleatoric` and `epistemic` are left to `lddu.uncertainty`.

        Raises:
          ValueError: If there is a packing, but no `config.mask_padding`.
        """
        cfg = self.config
        if packing and not cfg.mask_padding:
            raise ValueError("packing needs mask_padding: without it, padded steps need places too")
        labels = self.param(
            "label_embeddings", nn.initializers.normal(1.0), (len(cfg.labels), cfg.encoder.hidden)
        )
        latents: dict[str, Gaussian] = {}
        features, present = [], []
        for m in cfg.modalities:
            values = batch.modalities[m.name].values
            mask = batch.effective_mask(m.name)
            present.append(mask.any(1))
            # Without masking, the steps of a modality that is there all count.
            seen = mask if cfg.mask_padding else jnp.broadcast_to(present[-1][:, None], mask.shape)
            values = jnp.where(mask[..., None], values, 0.0)
            place = (packing or {}).get(m.name)
            features.append(self._label_features(m, labels, values, seen, deterministic, place))
            latents[m.name] = LatentGaussian(
                cfg.latent_hidden,
                cfg.latent,
                cfg.variance_floor,
                cfg.initial_variance,
                cfg.variance,
                name=f"latent_{m.name}",
            )(features[-1])

        fused = FUSIONS[cfg.fusion](cfg, name="fusion")(
            features,
            [latents[name] for name in cfg.modality_names],
            jnp.stack(present, axis=-1),
            not deterministic,
        )
        return Prediction(
            probs=jax.nn.sigmoid(fused.logits),
            logits=fused.logits,
            logit_mean=fused.logit_mean,
            logit_var=fused.logit_var,
            latents=latents,
            fused=fused.posterior,
            weights=fused.weights,
            unimodal_logits=fused.unimodal_logits,
            direct_logits=fused.direct_logits,
        )

    def _label_features(
        self,
        m: ModalityConfig,
        labels: Array,
        values: Array,
        mask: Array,
        deterministic: bool,
        packing: Packing | None,
    ) -> Array:
        cfg = self.config
        states = ModalityEncoder(
            cfg.encoder, m.length, m.stride, self.execution, name=f"encoder_{m.name}"
        )(values, mask, deterministic, packing)
        features = LabelAttention(cfg.label_dropout, name=f"label_attention_{m.name}")(
            labels, states, windows(mask, m.stride).any(-1), deterministic, packing
        )
        if cfg.statistics:
            features += PooledStatistics(
                cfg.statistics,
                len(cfg.labels),
                cfg.encoder.hidden,
                cfg.statistics_dropout,
                name=f"statistics_{m.name}",
            )(values, mask, deterministic)
        return features

    @staticmethod
    def with_base_rate(variables: Any, base_rate: np.ndarray) -> Any:
        """Sets the probabilities that the model gives when it sees nothing.

        Args:
          variables: What `init` returned.
          base_rate: (C,) share of positives per label, strictly between 0 and 1.

        Returns:
          Variables with the base rate in place.
        """
        params = variables["params"]
        head = params["fusion"].get("head", {})
        if "prior_logit" not in head:  # only precision fusion has a prior to fall back to
            return variables
        rate = jnp.asarray(base_rate, head["prior_logit"].dtype)
        head = {**head, "prior_logit": jnp.log(rate) - jnp.log1p(-rate)}
        return {**variables, "params": {**params, "fusion": {**params["fusion"], "head": head}}}


def example_batch(config: ModelConfig) -> Batch:
    """One row of zeros in every modality, as `LDDU.init` needs for its shapes."""
    return Batch(
        {
            m.name: Modality(jnp.zeros((1, 1, m.features)), jnp.ones((1, 1), bool))
            for m in config.modalities
        },
        {m.name: jnp.ones(1, bool) for m in config.modalities},
    )
