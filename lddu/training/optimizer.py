"""The optimiser of a run: AdamW, or that of the official LDDU."""

from typing import Any

import jax
import optax

from lddu.config import TrainConfig
from lddu.official.optimizer import bert_adam


def build_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """Builds the optimiser of a run.

    Args:
      config: The name of the optimiser, learning rate, warm-up, weight decay and clipping norm.
      total_steps: Number of steps of the whole run; the cosine schedule reaches zero there.

    Returns:
      An optax transformation. "adamw" decays matrices, but neither position tables nor label
      embeddings; "bert_adam" decays everything but biases and LayerNorms.

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
    """Marks the parameters that AdamW decays: matrices, except positions and label embeddings."""

    def is_weight(path: tuple, leaf: jax.Array) -> bool:
        # Biases of attention are matrices too, of shape (heads, width).
        return leaf.ndim >= 2 and path[-1].key not in ("bias", "positions", "label_embeddings")

    return jax.tree_util.tree_map_with_path(is_weight, params)
