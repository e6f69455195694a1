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
from lddu.nn.fusion import ConcatenationFusion, GaussianFusion, set_base_rate
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
    """Latent emotion distributions per modality, fused and read out as probabilities.

    A Flax module. With `deterministic=False`, `apply` needs `rngs={"dropout": key}`, and with
    `config.samples > 0` also a key for "sample".

    Attributes:
      config: The configuration of the model.
      execution: How to compute it; the parameters do not depend on it.

    Example:
      >>> import jax
      >>> from lddu import LDDU, config
      >>> from lddu.model import example_batch
      >>> cfg = config.tiny({"text": (300, 60)}, ["happy", "sad"]).model
      >>> batch = example_batch(cfg)
      >>> init = jax.jit(LDDU(cfg).init_with_output)
      >>> prediction, variables = init(jax.random.key(0), batch)
      >>> prediction.probs.shape
      (1, 2)

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
        """Predicts the labels of a batch.

        Args:
          batch: A batch that fits the configuration (see `lddu.data.check_batch`).
          deterministic: Whether to leave out dropout and to compute the expected probability in
            closed form.
          packing: Modality name -> where the encoder puts its steps (see `lddu.packing.plan`), for
            sequences far shorter than their padding; other modalities stay padded. It changes the
            cost, not the result, and needs `config.mask_padding`.

        Returns:
          A `Prediction`, without the fields that compare ensemble members.

        Raises:
          ValueError: If there is a packing without `config.mask_padding`.
        """
        cfg = self.config
        if packing and not cfg.mask_padding:
            raise ValueError(
                "packing needs model.mask_padding=True: without masks, padded steps count too, and "
                f"a packed row has no place for them; got a packing for {', '.join(packing)}"
            )
        labels = self.param(
            "label_embeddings", nn.initializers.normal(1.0), (len(cfg.labels), cfg.encoder.hidden)
        )
        latents: dict[str, Gaussian] = {}
        features, present = [], []
        for m in cfg.modalities:
            values = batch.modalities[m.name].values
            mask = batch.effective_mask(m.name)
            present.append(mask.any(1))
            # Without masking, all steps of a modality that is present count.
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
        """Sets the probabilities that the model predicts when all modalities are missing.

        Args:
          variables: Variables from `init`; they are not changed.
          base_rate: (C,) share of positives per label, strictly between 0 and 1.

        Returns:
          Variables with the base rate; the given ones if the fusion has none.
        """
        params = variables["params"]
        fusion = set_base_rate(params["fusion"], base_rate)
        return {**variables, "params": {**params, "fusion": fusion}}


def example_batch(config: ModelConfig) -> Batch:
    """Returns a batch of one row with a step of zeros in every modality, for `LDDU.init`."""
    return Batch(
        {
            m.name: Modality(jnp.zeros((1, 1, m.features)), jnp.ones((1, 1), bool))
            for m in config.modalities
        },
        {m.name: jnp.ones(1, bool) for m in config.modalities},
    )
