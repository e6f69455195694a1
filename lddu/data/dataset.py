"""A data set in its three splits."""

import dataclasses

import numpy as np

from lddu.data.card import Card
from lddu.structs import Batch

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, eq=False)  # == of arrays has no single answer
class Split:
    """The samples of one split.

    Attributes:
      batch: NumPy arrays, with hard labels.
      ids: (N,) text, unique; what to align predictions by.
      soft: (N, C) soft labels in [0, 1], where annotators or intensities give them; else None.
    """

    batch: Batch
    ids: np.ndarray
    soft: np.ndarray | None = None

    def soft_batch(self) -> Batch:
        """The batch with soft labels where there are any, for training."""
        return self.batch if self.soft is None else self.batch.replace(labels=self.soft)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one data set.

    Attributes:
      train: What to fit.
      valid: What chooses the epoch, the calibration and the thresholds.
      test: What is scored, once.
      labels: C names.
      card: What was read and what was mended.
    """

    train: Split
    valid: Split
    test: Split
    labels: tuple[str, ...]
    card: Card

    def splits(self) -> dict[str, Split]:
        """Name -> split, in the order train, valid, test."""
        return {name: getattr(self, name) for name in SPLITS}

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Modality -> (features, steps), as the presets of `lddu.config` take them."""
        return {
            name: (
                m.values.shape[-1],
                max(s.batch.modalities[name].values.shape[1] for s in self.splits().values()),
            )
            for name, m in self.train.batch.modalities.items()
        }
