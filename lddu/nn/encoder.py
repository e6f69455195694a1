"""Transformer encoders for padded sequences, in the post-norm form of BERT and LDDU."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import EncoderConfig


def attend(
    query: Array, key: Array, value: Array, mask: Array, dropout_key: Array | None, rate: float
) -> Array:
    """Multi-head scaled dot-product attention over real steps only.

    Args:
      query: (B, S, H, K).
      key: (B, T, H, K).
      value: (B, T, H, K).
      mask: (B, T) bool, True where a key may be attended to. A row without any gives zeros.
      dropout_key: PRNG key for dropout on the attention weights, or None for none.
      rate: Dropout rate in [0, 1).

    Returns:
      (B, S, H, K).
    """
    logits = jnp.einsum("bshk,bthk->bhst", query, key) / jnp.sqrt(query.shape[-1]).astype(
        query.dtype
    )
    weights = masked_softmax(logits, mask[:, None, None, :])
    if dropout_key is not None and rate > 0:
        keep = jax.random.bernoulli(dropout_key, 1.0 - rate, weights.shape)
        weights = jnp.where(keep, weights / (1.0 - rate), 0.0)
    return jnp.einsum("bhst,bthk->bshk", weights, value)


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Softmax over the last axis where `mask` holds; all zeros where it holds nowhere.

    Args:
      logits: (..., T).
      mask: Broadcasts against (..., T), bool.

    Returns:
      (..., T) weights that sum to 1, or to 0 where nothing is left; gradients are finite.
    """
    lowest = jnp.finfo(logits.dtype).min
    logits = jnp.where(mask, logits, lowest)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    weights = jnp.where(mask, weights, 0.0)
    total = weights.sum(-1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1.0)


class TransformerLayer(nn.Module):
    """One post-norm layer: attention, residual, LayerNorm, feed-forward, residual, LayerNorm."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, deterministic: bool) -> Array:
        """Maps (B, T, hidden) to (B, T, hidden)."""
        cfg = self.config
        split = (cfg.heads, cfg.hidden // cfg.heads)
        init = _kernel_init(cfg)

        def projection(name: str) -> Array:
            return nn.DenseGeneral(split, kernel_init=init, name=name)(x)

        dropout_key = None if deterministic else self.make_rng("dropout")
        y = attend(
            projection("query"),
            projection("key"),
            projection("value"),
            mask,
            dropout_key,
            cfg.attention_dropout,
        )
        y = nn.DenseGeneral(cfg.hidden, axis=(-2, -1), kernel_init=init, name="attention_out")(y)
        y = nn.Dropout(cfg.dropout)(y, deterministic)
        x = _norm(cfg.layer_norm_epsilon, "attention_norm")(x + y)
        y = nn.Dense(cfg.feed_forward, kernel_init=init, name="feed_forward_in")(x)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(cfg.hidden, kernel_init=init, name="feed_forward_out")(y)
        y = nn.Dropout(cfg.dropout)(y, deterministic)
        return _norm(cfg.layer_norm_epsilon, "feed_forward_norm")(x + y)


class Transformer(nn.Module):
    """A stack of `TransformerLayer`s on already embedded steps."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, deterministic: bool = True) -> Array:
        """Maps embedded steps (B, T, hidden), real where `mask` (B, T), to (B, T, hidden)."""
        for i in range(self.config.layers):
            x = TransformerLayer(self.config, name=f"layer_{i}")(x, mask, deterministic)
        return x


class ModalityEncoder(nn.Module):
    """From one modality's features to contextual states: norm, projection, positions, layers."""

    config: EncoderConfig
    length: int

    @nn.compact
    def __call__(self, values: Array, mask: Array, deterministic: bool = True) -> Array:
        """Encodes padded features.

        Args:
          values: (B, T, D) features, T at most `length`.
          mask: (B, T) bool, True at real steps.
          deterministic: Without dropout.

        Returns:
          (B, T, hidden). Real steps do not depend on what stands at padded ones.
        """
        cfg = self.config
        # Padding may hold anything, NaN included; zeroed here so that 0 * NaN never meets a sum.
        x = jnp.where(mask[..., None], values, 0.0)
        if cfg.input_norm:
            x = _norm(cfg.input_norm_epsilon, "input_norm")(x)
        x = nn.Dense(cfg.hidden, kernel_init=_kernel_init(cfg), name="project")(x)
        table = self.param("positions", nn.initializers.normal(0.02), (self.length, cfg.hidden))
        x = _norm(cfg.layer_norm_epsilon, "norm")(x + table[: x.shape[1]])
        x = nn.Dropout(cfg.dropout)(x, deterministic)
        return Transformer(cfg, name="transformer")(x, mask, deterministic)


def _norm(epsilon: float, name: str) -> nn.LayerNorm:
    # The fast variance, E[x^2] - E[x]^2, is noise for features far from 0.
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)


def _kernel_init(config: EncoderConfig) -> nn.initializers.Initializer:
    if config.kernel_std is None:
        return nn.initializers.lecun_normal()
    return nn.initializers.normal(config.kernel_std)
