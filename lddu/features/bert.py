"""BERT encoders as `lddu.nn.encoder.Transformer`: embeddings, and weights converted from PyTorch's.

Our encoder layer is BERT's post-norm layer, so published BERT weights only need other names and
shapes, not another network.

References:
  Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.config import EncoderConfig
from lddu.nn.encoder import Transformer


class Bert(nn.Module):
    """From word-piece ids to contextual states, without a pooler.

    Attributes:
      config: The Transformer; `hidden` is the width of the embeddings as well.
      vocabulary: Number of word pieces.
      positions: Longest sequence in pieces.
    """

    config: EncoderConfig
    vocabulary: int
    positions: int

    @nn.compact
    def __call__(self, pieces: Array, mask: Array) -> Array:
        """Maps piece ids (B, T), real where `mask` (B, T), to states (B, T, hidden)."""
        cfg = self.config
        x = nn.Embed(self.vocabulary, cfg.hidden, name="word_embeddings")(pieces)
        table = self.param("positions", nn.initializers.normal(0.02), (self.positions, cfg.hidden))
        # Every piece belongs to the first segment, so the token-type table has one useful row.
        segment = self.param("segment", nn.initializers.normal(0.02), (cfg.hidden,))
        x = x + segment + table[: x.shape[1]]
        x = nn.LayerNorm(epsilon=cfg.layer_norm_epsilon, name="norm")(x)
        return Transformer(cfg, name="transformer")(x, mask, deterministic=True)


def from_state_dict(state: Mapping[str, np.ndarray], config: EncoderConfig) -> dict[str, Any]:
    """Parameters of `Bert` from the state dict of a Hugging Face `BertModel`.

    Args:
      state: Name -> array, PyTorch's layout: the weight of a linear map is (out, in).
      config: The encoder whose shapes the arrays must have.

    Returns:
      The `params` collection for `Bert.apply`.

    Raises:
      ValueError: If an array is missing or does not have the shape that `config` asks for.
    """
    hidden, inner = config.hidden, config.feed_forward
    heads = (config.heads, hidden // config.heads)

    def take(name: str, *shape: int | None) -> np.ndarray:
        if name not in state:
            raise ValueError(f"the BERT weights have no {name!r}")
        found = state[name].shape
        if len(found) != len(shape) or any(
            want not in (None, have) for have, want in zip(found, shape, strict=True)
        ):
            raise ValueError(f"BERT weight {name!r} has shape {found}, expected {shape}")
        return np.asarray(state[name], np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": take(f"{name}.weight", hidden), "bias": take(f"{name}.bias", hidden)}

    def dense(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {
            "kernel": take(f"{name}.weight", outputs, inputs).T,
            "bias": take(f"{name}.bias", outputs),
        }

    def projection(name: str) -> dict[str, np.ndarray]:
        flat = dense(name, hidden, hidden)
        return {
            "kernel": flat["kernel"].reshape(hidden, *heads),
            "bias": flat["bias"].reshape(heads),
        }

    def layer(name: str) -> dict[str, Any]:
        out = dense(f"{name}.attention.output.dense", hidden, hidden)
        return {
            **{k: projection(f"{name}.attention.self.{k}") for k in ("query", "key", "value")},
            "attention_out": out | {"kernel": out["kernel"].reshape(*heads, hidden)},
            "attention_norm": norm(f"{name}.attention.output.LayerNorm"),
            "feed_forward_in": dense(f"{name}.intermediate.dense", hidden, inner),
            "feed_forward_out": dense(f"{name}.output.dense", inner, hidden),
            "feed_forward_norm": norm(f"{name}.output.LayerNorm"),
        }

    return {
        "word_embeddings": {"embedding": take("embeddings.word_embeddings.weight", None, hidden)},
        "positions": take("embeddings.position_embeddings.weight", None, hidden),
        "segment": take("embeddings.token_type_embeddings.weight", None, hidden)[0],
        "norm": norm("embeddings.LayerNorm"),
        "transformer": {f"layer_{i}": layer(f"encoder.layer.{i}") for i in range(config.layers)},
    }


def states(module: Bert, params: Mapping[str, Any], pieces: Array, mask: Array) -> Array:
    """Contextual states (B, T, hidden) of piece ids (B, T); a pure function, to be jitted."""
    return module.apply({"params": params}, jnp.asarray(pieces), jnp.asarray(mask))
