"""Predictions under random dropout masks ("MC dropout")."""

import dataclasses
import functools
from collections.abc import Callable

import flax.errors
import jax
import numpy as np

from lddu.config import ExecutionConfig, ModelConfig
from lddu.data.normalize import normalize
from lddu.model import LDDU, example_batch
from lddu.predictor.network import (
    Members,
    Network,
    checked_batch_size,
    empty_prediction,
    over_members,
    prepare,
)
from lddu.predictor.streaming import chunks
from lddu.structs import Batch


@functools.lru_cache(maxsize=16)
def has_dropout(config: ModelConfig) -> bool:
    """Returns whether any layer of the model applies dropout, by asking the model itself."""
    model, example = LDDU(_in_closed_form(config)), example_batch(config)
    variables = jax.eval_shape(model.init, jax.random.key(0), example)
    try:  # without a key for it
        jax.eval_shape(lambda v: model.apply(v, example, deterministic=False), variables)
    except flax.errors.InvalidRngError:
        return True
    return False


def dropout_members(
    network: Network, batch: Batch, samples: int, seed: int, batch_size: int
) -> Members:
    """Runs the members with dropout left on; in all else they predict as without it.

    Args:
      network: The trained members.
      batch: Raw inputs.
      samples: Number of dropout masks S of each member.
      seed: Seed of the masks.
      batch_size: Rows per device call.

    Returns:
      `Members` of (S K, N, C) logits, all masks of the first member first.

    Raises:
      ValueError: If the batch does not fit the model, or `batch_size` is not positive.
    """
    size = checked_batch_size(batch_size, network.config)
    forward = compiled_dropout(network.config, network.execution)
    key = jax.random.key(seed, impl="rbg")  # its bits cost a fraction of threefry's
    logits, seen = [], []
    inputs = chunks([prepare(batch, network.config)], network.config.modality_names, size)
    for i, chunk in enumerate(inputs):
        part = jax.device_put(chunk.batch)  # once, for all draws
        draws = [
            forward(network.params, network.normalizer, part, key, i, s) for s in range(samples)
        ]
        drawn = np.stack(jax.device_get(draws), axis=1)  # (K, S, B, C)
        logits.append(drawn.reshape(-1, *drawn.shape[2:])[:, : chunk.rows])
        seen.append(chunk.seen[: chunk.rows])
    return Members(np.concatenate(logits, axis=1), np.concatenate(seen), empty_prediction())


@functools.lru_cache(maxsize=16)
def compiled_dropout(config: ModelConfig, execution: ExecutionConfig) -> Callable[..., jax.Array]:
    """Returns the compiled forward pass with dropout left on.

    Returns:
      forward(params, normalizer, batch, key, part, draw) -> (K, B, C) logits. The integers `part`
      and `draw` choose the masks, together with the PRNG key.
    """
    model = LDDU(_in_closed_form(config), execution)

    def forward(params, normalizer, batch, key, part, draw):
        batch = normalize(batch, normalizer)
        key = jax.random.fold_in(jax.random.fold_in(key, part), draw)
        keys = jax.random.split(key, jax.tree.leaves(params)[0].shape[0])

        def one(member):
            p, k = member
            rngs = {"dropout": k}
            return model.apply({"params": p}, batch, deterministic=False, rngs=rngs).logits

        return over_members(one, (params, keys))

    return jax.jit(forward)


def _in_closed_form(config: ModelConfig) -> ModelConfig:
    """The model whose expected probability is never sampled, not even in training."""
    return dataclasses.replace(config, samples=0)
