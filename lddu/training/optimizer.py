"""Optimisers: AdamW as usual, and the official LDDU's own, `bert_adam`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lddu.config import TrainConfig


def build_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """The optimiser that the configuration asks for.

    Args:
      config: Which one, learning rate, warm-up share, weight decay, clipping norm.
      total_steps: Steps of the whole run; the cosine reaches zero there.

    Returns:
      An optax transformation. "adamw" decays matrices only, and neither position tables nor label
      embeddings; "bert_adam" everything but biases and LayerNorms.

    References:
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    if config.optimizer == "bert_adam":
        return bert_adam(
            config.learning_rate,
            total_steps=total_steps,
            warmup=config.warmup,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
        )
    warmup = max(1, round(config.warmup * total_steps))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, max(total_steps, warmup + 1)
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay, mask=decayed),
    )


def decayed(params: Any) -> Any:
    """Which parameters AdamW decays: matrices, but neither positions nor label embeddings."""

    def is_weight(path: tuple, leaf: jax.Array) -> bool:
        # Biases of attention are matrices too, (heads, width).
        return leaf.ndim >= 2 and path[-1].key not in ("bias", "positions", "label_embeddings")

    return jax.tree_util.tree_map_with_path(is_weight, params)


def bert_adam(
    learning_rate: float,
    *,
    total_steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
    """The official code's optimiser: Adam without bias correction, eps 1e-6, two clippings.

    Gradients are clipped by their global norm and then each tensor by its own; the weight decay is
    decoupled and leaves out biases and LayerNorms.

    Args:
      learning_rate: Peak of the schedule.
      total_steps: Length of the schedule.
      warmup: Share of it that is warm-up.
      weight_decay: Decay per unit of learning rate.
      clip_norm: Limit of both clippings.

    References:
      METHOD of the official code, github.com/201983290498/lddu_mmer; first in the BERT release.
    """

    def decayed_too(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: path[-1].key not in ("bias", "scale", "prior_logit"), params
        )

    return optax.chain(
        _clip(clip_norm, optax.tree.norm),
        _clip(clip_norm, None),
        _uncorrected_adam(),
        optax.add_decayed_weights(weight_decay, mask=decayed_too),
        optax.scale_by_learning_rate(official_schedule(learning_rate, total_steps, warmup)),
    )


def official_schedule(learning_rate: float, total_steps: int, warmup: float) -> optax.Schedule:
    """Linear warm-up, then a cosine that is not rescaled: it jumps to its value at `warmup`."""

    def schedule(count: jax.Array) -> jax.Array:
        x = jnp.asarray(count, float) / total_steps
        rising = x / warmup if warmup else 1.0
        return learning_rate * jnp.where(x < warmup, rising, 0.5 * (1 + jnp.cos(jnp.pi * x)))

    return schedule


def _clip(
    limit: float, norm_of_all: Callable[[Any], jax.Array] | None
) -> optax.GradientTransformation:
    """Scales gradients down to a norm, with PyTorch's 1e-6 in the denominator.

    `norm_of_all` gives one norm for the whole tree; None clips each tensor by its own.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params

        def scale(norm: jax.Array) -> jax.Array:
            return jnp.minimum(1.0, limit / (norm + 1e-6))

        if norm_of_all is not None:
            factor = scale(norm_of_all(updates))
            return jax.tree.map(lambda g: g * factor, updates), state
        return jax.tree.map(lambda g: g * scale(jnp.sqrt(jnp.sum(g * g))), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _uncorrected_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6
) -> optax.GradientTransformation:
    """Adam's direction without the correction for its moments starting at zero."""

    def init(params: Any) -> optax.ScaleByAdamState:
        # Two trees, not one twice: a training step donates their buffers.
        mu, nu = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(updates: Any, state: optax.ScaleByAdamState, params: Any = None):
        del params
        mu = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, updates)
        nu = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, updates)
        direction = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu, nu)
        return direction, optax.ScaleByAdamState(state.count + 1, mu, nu)

    return optax.GradientTransformation(init, update)
