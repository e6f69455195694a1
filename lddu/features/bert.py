"""BERT as an `lddu.nn.encoder.Transformer` with embeddings, and its weights from PyTorch.

The encoder layer of lddu is BERT's post-norm layer, so that published BERT weights only need other
names and shapes, not another network.

References:
  Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax import Array

from lddu.config import EncoderConfig
from lddu.nn.encoder import Transformer


class Bert(nn.Module):
    """A network from word-piece ids to contextual states, without a pooler.

    Attributes:
      config: Configuration of the Transformer; `hidden` is the width of the embeddings as well.
      vocabulary: Number of word pieces.
      positions: Longest sequence, in pieces.
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
        # Every piece belongs to the first segment, so that one row of the token types is enough.
        segment = self.param("segment", nn.initializers.normal(0.02), (cfg.hidden,))
        x = x + segment + table[: x.shape[1]]
        x = nn.LayerNorm(epsilon=cfg.layer_norm_epsilon, name="norm")(x)
        return Transformer(cfg, name="transformer")(x, mask, deterministic=True)


def from_state_dict(state: Mapping[str, np.ndarray], config: EncoderConfig) -> dict[str, Any]:
    """Converts the state dict of a Hugging Face `BertModel` to parameters of `Bert`.

    Args:
      state: Name -> array in PyTorch's layout, in which the weight of a linear map is (out, in).
      config: Configuration of the encoder, whose shapes the arrays must have.

    Returns:
      The `params` collection for `Bert.apply`, in float32.

    Raises:
      ValueError: If an array is missing or does not have the shape that `config` asks for.
    """
    hidden, inner, heads = config.hidden, config.feed_forward, config.heads

    def take(name: str, *shape: int | None) -> np.ndarray:
        if name not in state:
            raise ValueError(f"the BERT weights have no {name!r}")
        given = state[name].shape
        if len(given) != len(shape) or any(
            want not in (None, have) for have, want in zip(given, shape, strict=True)
        ):
            raise ValueError(f"BERT weight {name!r} has shape {given}, expected {shape}")
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
            "kernel": rearrange(flat["kernel"], "d (heads w) -> d heads w", heads=heads),
            "bias": rearrange(flat["bias"], "(heads w) -> heads w", heads=heads),
        }

    def layer(name: str) -> dict[str, Any]:
        out = dense(f"{name}.attention.output.dense", hidden, hidden)
        return {
            **{k: projection(f"{name}.attention.self.{k}") for k in ("query", "key", "value")},
            "attention_out": {
                "kernel": rearrange(out["kernel"], "(heads w) d -> heads w d", heads=heads),
                "bias": out["bias"],
            },
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
    """Computes contextual states; a pure function, to be jitted.

    Args:
      module: The network.
      params: Its parameters, from `from_state_dict`.
      pieces: (B, T) ids of word pieces.
      mask: (B, T) bool, True where a piece is real.

    Returns:
      (B, T, hidden) states.
    """
    return module.apply({"params": params}, jnp.asarray(pieces), jnp.asarray(mask))
