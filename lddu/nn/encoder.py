"""Transformer encoders for padded or packed sequences, in the post-norm form of BERT and LDDU."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax import Array

from lddu.config import EncoderConfig, ExecutionConfig
from lddu.nn.attention import attend, join_rows, split_rows
from lddu.nn.dropout import Dropout
from lddu.nn.matmul import dense_matmul
from lddu.packing.layout import lay_out
from lddu.packing.structs import Packing, Places


class TransformerLayer(nn.Module):
    """One post-norm layer: attention, residual, LayerNorm, feed-forward, residual, LayerNorm."""

    config: EncoderConfig
    execution: ExecutionConfig = ExecutionConfig()

    @nn.compact
    def __call__(
        self, x: Array, mask: Array, deterministic: bool, places: Places | None = None
    ) -> Array:
        """Maps (B, T, hidden) to (B, T, hidden).

        Args:
          x: States of the steps.
          mask: As in `lddu.nn.attention.attend`: (B, T) or (B, T, T).
          deterministic: Whether to leave out dropout.
          places: Place of each step in the packing plan, which keys the dropout.
        """
        cfg, dtype = self.config, compute_dtype(self.execution)
        init, product = _kernel_init(cfg), _dot_general(deterministic)
        # One product for all three: wider matrices, and the input is read once.
        parts = [_HeadWeights(cfg, name=name)() for name in ("query", "key", "value")]
        kernel, bias = (jnp.concatenate(x, axis=-1) for x in zip(*parts, strict=True))
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=dtype)
        joined = product(x, kernel, (((2,), (0,)), ((), ()))) + bias
        query, key, value = rearrange(
            joined, "b t (three h k) -> three b t h k", three=3, h=cfg.heads
        )
        rate, form = cfg.attention_dropout, self.execution.attention
        dropout_key = None if deterministic or rate == 0 else self.make_rng("dropout")
        y = attend(query, key, value, mask, dropout_key, rate, form, places)
        dense = functools.partial(nn.Dense, kernel_init=init, dtype=dtype, dot_general=product)
        y = nn.DenseGeneral(
            cfg.hidden,
            axis=(-2, -1),
            kernel_init=init,
            dtype=dtype,
            dot_general=product,
            name="attention_out",
        )(y)
        y = Dropout(cfg.dropout)(y, deterministic, places)
        x = _norm(cfg, dtype, "attention_norm")(x + y)
        y = dense(cfg.feed_forward, name="feed_forward_in")(x)
        y = _gelu(y)
        y = dense(cfg.hidden, name="feed_forward_out")(y)
        y = Dropout(cfg.dropout)(y, deterministic, places)
        return _norm(cfg, dtype, "feed_forward_norm")(x + y)


class _HeadWeights(nn.Module):
    """Weights of a projection to all heads, stored by head as `nn.DenseGeneral` stores them."""

    config: EncoderConfig

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """Returns the kernel (hidden, hidden) and the bias (hidden,)."""
        hidden, heads = self.config.hidden, self.config.heads
        init = _kernel_init(self.config)
        kernel = self.param(
            "kernel",
            lambda key: init(key, (hidden, hidden)).reshape(hidden, heads, hidden // heads),
        )
        bias = self.param("bias", nn.initializers.zeros_init(), (heads, hidden // heads))
        return kernel.reshape(hidden, hidden), bias.reshape(hidden)


class Transformer(nn.Module):
    """A stack of `TransformerLayer`s on steps that are already embedded."""

    config: EncoderConfig
    execution: ExecutionConfig = ExecutionConfig()

    @nn.compact
    def __call__(
        self,
        x: Array,
        mask: Array,
        deterministic: bool = True,
        places: Places | None = None,
    ) -> Array:
        """Maps embedded steps (B, T, hidden) to (B, T, hidden).

        Args:
          x: Embedded steps.
          mask: As in `lddu.nn.attention.attend`: (B, T) or (B, T, T).
          deterministic: Whether to leave out dropout.
          places: Place of each step in the packing plan, which keys the dropout; None where it is
            the row and the step number.
        """
        if places is None and not deterministic:
            places = Places(jnp.arange(x.shape[0])[:, None], jnp.arange(x.shape[1])[None])
        # In an export the number of rows is symbolic and cannot be split into blocks.
        divisible = isinstance(x.shape[0], int) and not self.is_initializing()
        if self.execution.row_block and divisible:
            return self._in_blocks(x, mask, deterministic, places)
        for i in range(self.config.layers):
            layer = TransformerLayer(self.config, self.execution, name=f"layer_{i}")
            x = layer(x, mask, deterministic, places)
        return x

    def _in_blocks(
        self, x: Array, mask: Array, deterministic: bool, places: Places | None
    ) -> Array:
        """Applies the layers to blocks of rows; the backward pass stores their inputs only."""
        rows, size = x.shape[0], self.execution.row_block
        if places is not None:
            places = Places(*(jnp.broadcast_to(each, x.shape[:2]) for each in places))
        # Applied as a function: lifted transformations of Flax would change the dropout's keys.
        whole = dataclasses.replace(self.execution, row_block=0)
        layers = Transformer(self.config, whole, parent=None)
        variables, rngs = {"params": self.variables["params"]}, dict(self.scope.rngs)

        def one(block: tuple[Array, Array, Places | None]) -> Array:
            x, mask, places = block
            return layers.apply(variables, x, mask, deterministic, places, rngs=rngs)

        blocks = jax.tree.map(lambda x: split_rows(x, size), (x, mask, places))
        return join_rows(jax.lax.map(jax.checkpoint(one), blocks), rows)


class ModalityEncoder(nn.Module):
    """The path from one modality's features to contextual states.

    Norm, projection, positions, layers. With a stride s > 1 the projection is a convolution over s
    steps with stride s, so that the layers see ceil(T / s) steps.
    """

    config: EncoderConfig
    length: int
    stride: int = 1
    execution: ExecutionConfig = ExecutionConfig()

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
          deterministic: Whether to leave out dropout.
          packing: Where the samples' steps lie (after the stride), or None to leave them padded.

        Returns:
          (B, ceil(T / s), hidden), or (R, ceil(T / s), hidden) where packed. Real steps do not
          depend on what stands at padded ones.
        """
        cfg, dtype = self.config, compute_dtype(self.execution)
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
            dot_general=_dot_general(deterministic),
            name="project",
        )(x)
        steps = -(-self.length // self.stride)
        table = self.param("positions", nn.initializers.normal(0.02), (steps, cfg.hidden))
        x = _norm(cfg, dtype, "norm")(x + layout.positions(table.astype(x.dtype)))
        places = None if deterministic else layout.places
        x = Dropout(cfg.dropout)(x, deterministic, places)
        layers = Transformer(cfg, self.execution, name="transformer")
        return layers(x, layout.attention_mask, deterministic, places)


def compute_dtype(execution: ExecutionConfig) -> Any:
    """Returns the number type to compute in, or None for that of inputs and parameters."""
    return None if execution.dtype == "float32" else jnp.dtype(execution.dtype)


def windows(x: Array, stride: int) -> Array:
    """Splits (B, T, ...) into (B, ceil(T / stride), stride, ...), filled up with zeros."""
    count = -(-x.shape[1] // stride)
    x = jnp.pad(x, [(0, 0), (0, count * stride - x.shape[1]), *[(0, 0)] * (x.ndim - 2)])
    return x.reshape(x.shape[0], count, stride, *x.shape[2:])


def _norm(config: EncoderConfig, dtype: Any, name: str) -> nn.LayerNorm:
    # The fast variance, E[x^2] - E[x]^2, loses all precision for features far from 0.
    return nn.LayerNorm(config.layer_norm_epsilon, use_fast_variance=False, dtype=dtype, name=name)


def _gelu(x: Array) -> Array:
    """Computes the exact GELU from erf, a polynomial, where `nn.gelu` uses erfc, an exponential.

    References:
      Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))


def _dot_general(deterministic: bool) -> Callable[..., Array]:
    return jax.lax.dot_general if deterministic else dense_matmul


def _kernel_init(config: EncoderConfig) -> nn.initializers.Initializer:
    if config.kernel_std is None:
        return nn.initializers.lecun_normal()
    return nn.initializers.normal(config.kernel_std)
