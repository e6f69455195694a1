"""Random changes to the training rows of a step: noise, hidden steps, hidden modalities."""

import jax
import jax.numpy as jnp
from jax import Array

from lddu.config import Config
from lddu.draws import unbatched
from lddu.structs import Batch


def augment(noise_key: Array, hide_key: Array, batch: Batch, config: Config) -> Batch:
    """Applies feature noise, step dropout and modality dropout as `config.train` says.

    A sequence keeps at least one of its steps, a sample at least one of its modalities.

    Args:
      noise_key: PRNG key of the feature noise.
      hide_key: PRNG key of the hidden steps and modalities.
      batch: Normalised rows.
      config: The configuration of the run.

    Returns:
      The changed batch.
    """
    names, train = config.model.modality_names, config.train
    if train.feature_noise:
        keys = jax.random.split(noise_key, len(names))
        modalities = {
            name: batch.modalities[name].replace(
                values=_with_noise(key, batch.modalities[name].values, train.feature_noise)
            )
            for name, key in zip(names, keys, strict=True)
        }
        batch = batch.replace(modalities={**batch.modalities, **modalities})
    if train.step_dropout:
        keys = jax.random.split(jax.random.fold_in(hide_key, 1), len(names))
        modalities = {
            name: batch.modalities[name].replace(
                mask=_without_steps(key, batch.modalities[name].mask, train.step_dropout)
            )
            for name, key in zip(names, keys, strict=True)
        }
        batch = batch.replace(modalities={**batch.modalities, **modalities})
    if train.modality_dropout:
        had = batch.observed(names)
        draw = _uniform(hide_key, had.shape)
        # The modality with the largest draw stays, whatever the rate.
        spared = jax.nn.one_hot(jnp.argmax(jnp.where(had, draw, -1.0), -1), len(names), dtype=bool)
        kept = had & ((draw >= train.modality_dropout) | spared)
        batch = batch.replace(present={name: kept[:, m] for m, name in enumerate(names)})
    return batch


def _with_noise(key: Array, values: Array, std: float) -> Array:
    def draw(key: Array) -> Array:
        return jax.random.normal(key, values.shape, values.dtype)

    return values + std * unbatched(draw, key)


def _without_steps(key: Array, mask: Array, largest: float) -> Array:
    """Hides a share of each row's steps, drawn uniformly from 0 to `largest`."""
    share_key, draw_key = jax.random.split(key)
    share = largest * _uniform(share_key, (len(mask), 1))
    draw = _uniform(draw_key, mask.shape)
    # The step with the largest draw stays, whatever the share.
    last = jnp.argmax(jnp.where(mask, draw, -1.0), axis=1)
    return mask & ((draw >= share) | jax.nn.one_hot(last, mask.shape[1], dtype=bool))


def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
    return unbatched(lambda key: jax.random.uniform(key, shape), key)
