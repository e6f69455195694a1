"""Damage to single steps: noise, lost steps, a lost piece."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from lddu.data.corruptions.inputs import each, opened, strength
from lddu.structs import Batch, Modality


def feature_noise(
    key: jax.Array,
    batch: Batch,
    severity: int,
    modalities: Sequence[str] | None = None,
    scale: Mapping[str, ArrayLike] | None = None,
) -> Batch:
    """Adds Gaussian noise to each feature, in proportion to its standard deviation.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: Strength from 0 (no change) to 5; the table of the module lists what it means.
      modalities: Names of the modalities to damage; None damages all.
      scale: name -> (D,) standard deviations, for example `fit_normalizer(train).std`, needed where
        the batch is too small to tell. None takes the deviations over the batch's own real steps,
        so that constant features get no noise.

    Returns:
      The damaged batch, in NumPy arrays.

    Raises:
      ValueError: If the severity is not in 0..5, a modality is unknown, `key` is not one key, a
        scale is missing, negative or of another width, or features are NaN or infinite at real
        steps.

    Example:
      >>> import jax, numpy as np
      >>> from lddu.data import corruptions, from_sequences
      >>> batch = from_sequences({"text": [np.zeros((2, 3)), np.zeros((1, 3))]})
      >>> noisy = corruptions.feature_noise(jax.random.key(0), batch, 1, scale={"text": np.ones(3)})
      >>> (noisy.modalities["text"].values != 0).all(-1).tolist()  # padding stays 0
      [[True, True], [True, False]]
    """
    deviations = strength("feature_noise", severity)
    batch, changed = opened(batch)
    for name, rng, modality, real in each(key, batch, modalities):
        values = modality.values.astype(np.result_type(modality.values, np.float32))
        steps = values[real]
        if not np.isfinite(steps).all():
            raise ValueError(
                f"modality {name!r}: NaN or infinity at real steps; mask these steps or replace "
                "the values before noise is added"
            )
        std = _given_scale(scale, name, values.shape[-1])
        if std is None:
            std = steps.std(0, dtype=np.float64) if len(steps) else np.zeros(values.shape[-1])
        noise = rng.standard_normal(steps.shape, np.float32)
        values[real] = steps + noise * (deviations * std).astype(values.dtype)
        changed[name] = modality.replace(values=values)
    return batch.replace(modalities=changed)


def drop_steps(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Loses single steps at random: they are masked out and their values set to 0.

    The other steps keep their places, so that gaps open within a sequence. A sample that loses
    every step of a modality counts as lacking it.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: Strength from 0 (no change) to 5; the table of the module lists what it means.
      modalities: Names of the modalities to damage; None damages all.

    Returns:
      The damaged batch, in NumPy arrays.

    Raises:
      ValueError: If the severity is not in 0..5, a modality is unknown, or `key` is not one key.

    Example:
      >>> import jax, numpy as np
      >>> from lddu.data import corruptions, from_sequences
      >>> batch = from_sequences({"text": [np.ones((1000, 1))]})
      >>> kept = corruptions.drop_steps(jax.random.key(0), batch, 3).modalities["text"].mask.sum()
      >>> 300 < int(kept) < 700  # severity 3 loses each step with probability 0.5
      True
    """
    share = strength("drop_steps", severity)
    batch, changed = opened(batch)
    for name, rng, modality, real in each(key, batch, modalities):
        changed[name] = _without(modality, real & (rng.random(real.shape) < share))
    return batch.replace(modalities=changed)


def drop_span(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Loses one contiguous piece of each sequence, as when a sensor fails for a while.

    Of n real steps the piece has round(share * n), halves upwards; it starts anywhere it fits, with
    equal probability. Lost steps are masked out and their values set to 0; the others keep their
    places.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: Strength from 0 (no change) to 5; the table of the module lists what it means.
      modalities: Names of the modalities to damage; None damages all.

    Returns:
      The damaged batch, in NumPy arrays.

    Raises:
      ValueError: If the severity is not in 0..5, a modality is unknown, or `key` is not one key.

    Example:
      >>> import jax, numpy as np
      >>> from lddu.data import corruptions, from_sequences
      >>> batch = from_sequences({"text": [np.ones((8, 1))]})
      >>> damaged = corruptions.drop_span(jax.random.key(0), batch, 3)
      >>> int(damaged.modalities["text"].mask.sum())  # half of the steps
      4
    """
    share = strength("drop_span", severity)
    batch, changed = opened(batch)
    for name, rng, modality, real in each(key, batch, modalities):
        steps = real.sum(1)
        length = np.floor(share * steps + 0.5)
        start = np.floor(rng.random(len(steps)) * (steps - length + 1))
        position = np.cumsum(real, axis=1) - 1  # among the real steps
        after, before = position >= start[:, None], position < (start + length)[:, None]
        changed[name] = _without(modality, real & after & before)
    return batch.replace(modalities=changed)


def _without(modality: Modality, lost: np.ndarray) -> Modality:
    values = np.where(lost[..., None], modality.values.dtype.type(0), modality.values)
    return Modality(values, modality.mask & ~lost)


def _given_scale(
    scale: Mapping[str, ArrayLike] | None, name: str, features: int
) -> np.ndarray | None:
    if scale is None:
        return None
    if name not in scale:
        raise ValueError(f"scale lacks modality {name!r}; it has {sorted(scale)}")
    std = np.asarray(scale[name], np.float64)
    if std.shape != (features,) or not (np.isfinite(std) & (std >= 0)).all():
        raise ValueError(
            f"scale[{name!r}] has shape {std.shape}, must be ({features},), one finite standard "
            "deviation >= 0 per feature"
        )
    return std
