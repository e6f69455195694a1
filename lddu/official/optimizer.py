"""The optimiser of the official LDDU, `bert_adam`, as an optax chain."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax


def bert_adam(
    learning_rate: float,
    *,
    total_steps: int,
    warmup: float = 0.1,
    weight_decay: float = 0.01,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
    """Builds the official code's optimiser: Adam without bias correction, with two clippings.

    Gradients are clipped by their global norm and then each tensor by its own; the weight decay is
    decoupled and leaves out biases and LayerNorms; epsilon is 1e-6.

    Args:
      learning_rate: Peak learning rate of the schedule.
      total_steps: Number of steps of the schedule.
      warmup: Share of the steps with a linearly rising learning rate.
      weight_decay: Weight decay per unit of learning rate.
      clip_norm: Largest norm after both clippings.

    Returns:
      The optimiser; its updates are added to the parameters, as with any optax optimiser.

    References:
      github.com/201983290498/lddu_mmer at commit ae79204; first in the BERT release (Devlin et al.,
      NAACL 2019).
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
    """Builds a linear warm-up followed by a cosine that jumps to its value at `warmup`.

    Args:
      learning_rate: Peak learning rate.
      total_steps: Number of steps; the cosine reaches zero there.
      warmup: Share of the steps with a linearly rising learning rate.

    Returns:
      Function of the step that returns the learning rate.
    """

    def schedule(count: jax.Array) -> jax.Array:
        x = jnp.asarray(count, float) / total_steps
        rising = x / warmup if warmup else 1.0
        return learning_rate * jnp.where(x < warmup, rising, 0.5 * (1 + jnp.cos(jnp.pi * x)))

    return schedule


def _clip(
    limit: float, norm_of_all: Callable[[Any], jax.Array] | None
) -> optax.GradientTransformation:
    """Scales gradients down to a norm, with PyTorch's 1e-6 in the denominator.

    `norm_of_all` computes one norm of the whole tree; None clips each tensor by its own norm.
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
    """Computes Adam's direction without correcting for moments that start at zero."""

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
