"""Per-feature normalisation, fitted on the real steps of the training split."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lddu.structs import Batch

_CHUNK = 1024  # rows in memory at once


class Normalizer(NamedTuple):
    """Shift and scale of every feature.

    Attributes:
      mean: name -> (D,) means over real steps.
      std: name -> (D,) standard deviations; 1 for constant features.
    """

    mean: Mapping[str, np.ndarray]
    std: Mapping[str, np.ndarray]


def fit_normalizer(batch: Batch) -> Normalizer:
    """Fits means and standard deviations over the real steps of each modality.

    Each step has the weight of its row, so that an integer weight equals as many copies of the row
    and a row of weight 0 has no influence. Whether labels are known does not matter. Rows are read
    in chunks, so that mapped data need not fit into memory.

    Args:
      batch: The training data, NumPy or JAX arrays.

    Returns:
      A `Normalizer`; mean 0 and deviation 1 for a modality without real steps of positive weight.

    Example:
      >>> import numpy as np
      >>> from lddu.data import fit_normalizer, from_sequences, normalize
      >>> batch = from_sequences({"audio": [np.array([[1.0], [3.0]]), np.array([[5.0]])]})
      >>> normalizer = fit_normalizer(batch)
      >>> normalizer.mean["audio"].tolist()
      [3.0]
      >>> normalize(batch, normalizer).modalities["audio"].values[..., 0].round(2).tolist()
      [[-1.22..., 0.0], [1.22..., 0.0]]
    """
    mean, std = {}, {}
    for name in batch.modalities:
        mean[name], std[name] = _moments(batch, name)
    return Normalizer(mean, std)


def _moments(batch: Batch, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation (D,) of a modality, from float64 sums in two passes."""
    values, mask = np.asarray(batch.modalities[name].values), np.asarray(batch.effective_mask(name))
    weight = np.ones(len(values)) if batch.weight is None else np.asarray(batch.weight, np.float64)
    mask = mask & (weight > 0)[:, None]
    steps = mask.sum(1)
    count = (weight * steps).sum()
    if count == 0:
        ones = np.ones(values.shape[-1], np.float32)
        return np.zeros_like(ones), ones

    def total(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        parts = []
        for rows in (slice(i, i + _CHUNK) for i in range(0, len(values), _CHUNK)):
            real = np.asarray(values[rows][mask[rows]], np.float64)
            parts.append((function(real) * np.repeat(weight[rows], steps[rows])[:, None]).sum(0))
        return sum(parts)

    mean = total(lambda real: real) / count
    spread = np.sqrt(total(lambda real: np.square(real - mean)) / count)
    # The bound is relative, since units may make all values tiny (a magnetic field in tesla).
    smallest = np.maximum(1e-6 * np.abs(mean), np.finfo(np.float32).tiny)
    return mean.astype(np.float32), np.where(spread > smallest, spread, 1.0).astype(np.float32)


def normalize(batch: Batch, normalizer: Normalizer) -> Batch:
    """Applies a normaliser: subtracts the mean, divides by the deviation, sets padding to 0.

    Args:
      batch: NumPy arrays, or JAX arrays, also inside `jax.jit`.
      normalizer: From `fit_normalizer`.

    Returns:
      The batch with float32 features, exactly 0 at steps that are not real.

    Raises:
      ValueError: If a modality has another width than the one that was fitted.
    """
    modalities = {}
    for name, modality in batch.modalities.items():
        mean, std = normalizer.mean[name], normalizer.std[name]
        if modality.values.shape[-1] != len(mean):
            raise ValueError(
                f"modality {name!r}: width {modality.values.shape[-1]}, but the normaliser was "
                f"fitted on {len(mean)}"
            )
        mask = batch.effective_mask(name)[..., None]
        xp = jnp if isinstance(modality.values, jax.Array) else np
        values = (xp.asarray(modality.values, np.float32) - mean) / std
        modalities[name] = modality.replace(values=xp.where(mask, values, np.float32(0.0)))
    return batch.replace(modalities=modalities)
