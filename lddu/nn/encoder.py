"""Transformer encoders for padded sequences, in the post-norm form of BERT and LDDU."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import EncoderConfig
from lddu.nn.attention import attend
from lddu.nn.dropout import Dropout
from lddu.nn.matmul import dense_product
from lddu.packing.layout import lay_out
from lddu.packing.structs import Packing


class TransformerLayer(nn.Module):
    """One post-norm layer: attention, residual, LayerNorm, feed-forward, residual, LayerNorm."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, deterministic: bool) -> Array:
        """Maps (B, T, hidden) to (B, T, hidden); `mask` as in `lddu.nn.attention.attend`."""
        cfg = self.config
        dtype = compute_dtype(cfg)
        init = _kernel_init(cfg)
        product = _product(deterministic)
        # One product for all three: wider matrices, and the input is read once.
        parts = [_HeadWeights(cfg, name=name)() for name in ("query", "key", "value")]
        kernel, bias = (jnp.concatenate(x, axis=-1) for x in zip(*parts, strict=True))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=dtype)
        heads = (*x.shape[:2], cfg.heads, cfg.hidden // cfg.heads)
        joined = jnp.split(product(x, kernel, (((2,), (0,)), ((), ()))) + bias, 3, axis=-1)
        query, key, value = (part.reshape(heads) for part in joined)
        dropout_key = None if deterministic else self.make_rng("dropout")
        y = attend(query, key, value, mask, dropout_key, cfg.attention_dropout, cfg.attention)
        dense = functools.partial(nn.Dense, kernel_init=init, dtype=dtype, dot_general=product)
        y = nn.DenseGeneral(
            cfg.hidden,
            axis=(-2, -1),
            kernel_init=init,
            dtype=dtype,
            dot_general=product,
            name="attention_out",
        )(y)
        y = Dropout(cfg.dropout)(y, deterministic)
        x = _norm(cfg, "attention_norm")(x + y)
        y = dense(cfg.feed_forward, name="feed_forward_in")(x)
        y = _gelu(y)
        y = dense(cfg.hidden, name="feed_forward_out")(y)
        y = Dropout(cfg.dropout)(y, deterministic)
        return _norm(cfg, "feed_forward_norm")(x + y)


class _HeadWeights(nn.Module):
    """Weights of a projection to all heads, kept apart by head as `nn.DenseGeneral` keeps them."""

    config: EncoderConfig

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """The kernel (hidden, hidden) and the bias (hidden,)."""
        hidden, heads = self.config.hidden, self.config.heads
        init = _kernel_init(self.config)
        kernel = self.param(
            "kernel",
            lambda key: init(key, (hidden, hidden)).reshape(hidden, heads, hidden // heads),
        )
        bias = self.param("bias", nn.initializers.zeros_init(), (heads, hidden // heads))
        return kernel.reshape(hidden, hidden), bias.reshape(hidden)


class Transformer(nn.Module):
    """A stack of `TransformerLayer`s on already embedded steps."""

    config: EncoderConfig

    @nn.compact
    def __call__(self, x: Array, mask: Array, deterministic: bool = True) -> Array:
        """Maps embedded steps (B, T, hidden) to (B, T, hidden).

        Args:
          x: Embedded steps.
          mask: As in `lddu.nn.attention.attend`: (B, T) or (B, T, T).
          deterministic: Without dropout.
        """
        # In an export the number of rows is a symbol, which no block divides.
        divisible = isinstance(x.shape[0], int) and not self.is_initializing()
        if self.config.row_block and divisible:
            return self._in_blocks(x, mask, deterministic)
        return self._layers(x, mask, deterministic)

    def _layers(self, x: Array, mask: Array, deterministic: bool) -> Array:
        for i in range(self.config.layers):
            x = TransformerLayer(self.config, name=f"layer_{i}")(x, mask, deterministic)
        return x

    def _in_blocks(self, x: Array, mask: Array, deterministic: bool) -> Array:
        """`_layers` block by block of rows, of which the backward pass needs only the input."""
        rows, size = x.shape[0], self.config.row_block
        count = -(-rows // size)

        def blocks(x: Array) -> Array:
            # Rows of a block lie apart, so that on a mesh every device has some of them.
            x = jnp.pad(x, [(0, count * size - rows), *[(0, 0)] * (x.ndim - 1)])
            return jnp.moveaxis(x.reshape(size, count, *x.shape[1:]), 1, 0)

        def one(module: nn.Module, _: None, block: tuple[Array, Array]) -> tuple[None, Array]:
            return None, module._layers(*block, deterministic)

        over_blocks = nn.scan(
            nn.remat(one, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
        )
        out = over_blocks(self, None, (blocks(x), blocks(mask)))[1]
        return jnp.moveaxis(out, 0, 1).reshape(size * count, *x.shape[1:])[:rows]


class ModalityEncoder(nn.Module):
    """From one modality's features to contextual states: norm, projection, positions, layers.

    With a stride s > 1 the projection is a convolution over s steps with stride s, so that the
    layers see ceil(T / s) steps.
    """

    config: EncoderConfig
    length: int
    stride: int = 1

    @nn.compact
    def __call__(
        self,
        values: Array,
        mask: Array,
        deterministic: bool = True,
        packing: Packing | None = None,
    ) -> Array:
        """Encodes padded features.

        Args:
          values: (B, T, D) features, T at most `length`.
          mask: (B, T) bool, True at real steps.
          deterministic: Without dropout.
          packing: Where to put the samples' steps (after the stride), or None to leave them padded.

        Returns:
          (B, ceil(T / s), hidden), or (R, ceil(T / s), hidden) where packed. Real steps do not
          depend on what stands at padded ones.
        """
        cfg = self.config
        dtype = compute_dtype(cfg)
        layout = lay_out(windows(mask, self.stride).any(-1), packing)
        # Padding may hold anything, NaN included; zeroed here so that 0 * NaN never meets a sum.
        x = jnp.where(mask[..., None], values, 0.0)
        x = layout.pack(windows(x, self.stride))
        if cfg.input_norm:
            x = nn.LayerNorm(cfg.input_norm_epsilon, use_fast_variance=False, name="input_norm")(x)
        if self.stride > 1:
            # Steps beyond the end of a sequence add nothing to its last window.
            x = jnp.where(layout.pack(windows(mask, self.stride))[..., None], x, 0.0)
        x = x.reshape(*x.shape[:2], -1)
        x = nn.Dense(
            cfg.hidden,
            kernel_init=_kernel_init(cfg),
            dtype=dtype,
            dot_general=_product(deterministic),
            name="project",
        )(x)
        steps = -(-self.length // self.stride)
        table = self.param("positions", nn.initializers.normal(0.02), (steps, cfg.hidden))
        x = _norm(cfg, "norm")(x + layout.positions(table.astype(x.dtype)))
        x = Dropout(cfg.dropout)(x, deterministic)
        return Transformer(cfg, name="transformer")(x, layout.attention_mask, deterministic)


def compute_dtype(config: EncoderConfig) -> Any:
    """The type to compute in, or None for that of inputs and parameters."""
    return None if config.dtype == "float32" else jnp.dtype(config.dtype)


def windows(x: Array, stride: int) -> Array:
    """(B, T, ...) -> (B, ceil(T / stride), stride, ...), filled up with zeros."""
    count = -(-x.shape[1] // stride)
    x = jnp.pad(x, [(0, 0), (0, count * stride - x.shape[1]), *[(0, 0)] * (x.ndim - 2)])
    return x.reshape(x.shape[0], count, stride, *x.shape[2:])


def _norm(config: EncoderConfig, name: str) -> nn.LayerNorm:
    # The fast variance, E[x^2] - E[x]^2, is noise for features far from 0.
    return nn.LayerNorm(
        config.layer_norm_epsilon, use_fast_variance=False, dtype=compute_dtype(config), name=name
    )


def _gelu(x: Array) -> Array:
    """The exact GELU by erf, which is a polynomial where the erfc of `nn.gelu` takes exponentials.

    References:
      Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))


def _product(deterministic: bool) -> Callable[..., Array]:
    return jax.lax.dot_general if deterministic else dense_product


def _kernel_init(config: EncoderConfig) -> nn.initializers.Initializer:
    if config.kernel_std is None:
        return nn.initializers.lecun_normal()
    return nn.initializers.normal(config.kernel_std)
