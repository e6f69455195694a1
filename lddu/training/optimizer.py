"""The optimiser: AdamW with warm-up, cosine decay, clipping, and decay on matrices only."""

from typing import Any

import jax
import optax

from lddu.config import TrainConfig


def build_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """AdamW as the configuration says.

    Args:
      config: Learning rate, warm-up share, weight decay, clipping norm.
      total_steps: Steps of the whole run; the cosine reaches zero there.

    Returns:
      An optax transformation.

    References:
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    warmup = max(1, round(config.warmup * total_steps))
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, max(total_steps, warmup + 1)
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(schedule, weight_decay=config.weight_decay, mask=decayed),
    )


def decayed(params: Any) -> Any:
    """Which parameters decay: matrices, but neither position tables nor label embeddings."""

    def is_weight(path: tuple, leaf: jax.Array) -> bool:
        return leaf.ndim >= 2 and path[-1].key not in ("positions", "label_embeddings")

    return jax.tree_util.tree_map_with_path(is_weight, params)
