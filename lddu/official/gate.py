"""The gate that fuses modalities in the official LDDU."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import ModelConfig
from lddu.gaussian import Gaussian
from lddu.nn.fusion import Fused, concatenate
from lddu.nn.heads import JointHead


class GateFusion(nn.Module):
    """The official LDDU's gate: p_dir mixes a head on means with a head on deviations.

    p = p_dir p_mu + (1 - p_dir) p_sigma, where p_dir is read from the label features.

    Attributes:
      config: The configuration of the model.

    References:
      Huang et al., arXiv:2502.13954, section 3.5.
    """

    config: ModelConfig

    @nn.compact
    def __call__(
        self, features: Sequence[Array], latents: Sequence[Gaussian], present: Array, train: bool
    ) -> Fused:
        """Fuses all modalities; a missing one counts as zeros."""
        cfg, c = self.config, len(self.config.labels)

        def read(name: str, parts: Sequence[Array], labels: int | None) -> Array:
            head = JointHead(cfg.head_hidden, cfg.head_dropout, labels=labels, name=name)
            return head(concatenate(parts, present), not train)

        direct = read("direct", features, None)
        mean = read("mean", [q.mean for q in latents], c)
        # A missing modality may hold anything; selecting before the root keeps gradients finite.
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
