"""Per-feature normalisation, fitted on the real steps of the training split."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lddu.structs import Batch


class Normalizer(NamedTuple):
    """Shift and scale of every feature.

    Attributes:
      mean: name -> (D,) means over real steps.
      std: name -> (D,) standard deviations; 1 for constant features.
    """

    mean: Mapping[str, np.ndarray]
    std: Mapping[str, np.ndarray]


def fit_normalizer(batch: Batch) -> Normalizer:
    """Means and deviations over the real steps of each modality; 0 and 1 where there are none."""
    mean, std = {}, {}
    for name, modality in batch.modalities.items():
        real = np.asarray(modality.values, np.float32)[np.asarray(batch.effective_mask(name))]
        if len(real) == 0:
            mean[name] = np.zeros(real.shape[-1], np.float32)
            std[name] = np.ones(real.shape[-1], np.float32)
            continue
        mean[name] = real.mean(0, dtype=np.float64).astype(np.float32)
        spread = real.std(0, dtype=np.float64).astype(np.float32)
        # Relative, so that it is the same in every unit: some are tiny (a field in tesla).
        smallest = np.maximum(1e-6 * np.abs(mean[name]), np.finfo(np.float32).tiny)
        std[name] = np.where(spread > smallest, spread, np.float32(1.0))
    return Normalizer(mean, std)


def normalize(batch: Batch, normalizer: Normalizer) -> Batch:
    """Applies a normaliser; padded steps become exactly 0.

    Raises:
      ValueError: If a modality's width is not the one fitted.
    """
    modalities = {}
    for name, modality in batch.modalities.items():
        mean, std = normalizer.mean[name], normalizer.std[name]
        if modality.values.shape[-1] != len(mean):
            raise ValueError(
                f"modality {name!r}: width {modality.values.shape[-1]}, but the normaliser was "
                f"fitted on {len(mean)}"
            )
        values = (np.asarray(modality.values, np.float32) - mean) / std
        values = np.where(np.asarray(batch.effective_mask(name))[..., None], values, 0.0)
        modalities[name] = modality.replace(values=values.astype(np.float32))
    return batch.replace(modalities=modalities)
