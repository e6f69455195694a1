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
      batch: N samples as NumPy arrays, with hard labels, NaN where unknown.
      ids: (N,) unique texts that name the samples, so that predictions can be aligned.
      soft: (N, C) soft labels in [0, 1] from several annotators or from intensities, NaN where
        unknown; None where the files have neither.
      groups: (N,) texts that name what samples belong to, such as a film, a dialogue or a speaker;
        None where it is unknown.
    """

    batch: Batch
    ids: np.ndarray
    soft: np.ndarray | None = None
    groups: np.ndarray | None = None

    def soft_batch(self) -> Batch:
        """Returns the batch for training: with soft labels where they are known, else hard ones."""
        return self.batch if self.soft is None else self.batch.replace(labels=self.soft)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of one data set, whose batches carry the names of its labels.

    Attributes:
      train: Samples to fit the model on.
      valid: Samples that choose the epoch, the calibration and the thresholds.
      test: Samples that are scored once.
      labels: Names of the C labels.
      card: What was read, and what was repaired.
    """

    train: Split
    valid: Split
    test: Split
    labels: tuple[str, ...]
    card: Card

    def __post_init__(self) -> None:
        """Names the labels of each batch.

        Raises:
          ValueError: If those of a batch have other names.
        """
        labels = tuple(self.labels)
        for name, split in self.splits().items():
            if split.batch.label_names not in (None, labels):
                raise ValueError(
                    f"{name}: the batch has the labels {list(split.batch.label_names)}, the data "
                    f"set {list(labels)}"
                )
            batch = split.batch.replace(label_names=labels)
            object.__setattr__(self, name, dataclasses.replace(split, batch=batch))

    def splits(self) -> dict[str, Split]:
        """Returns name -> split, in the order train, valid, test."""
        return {name: getattr(self, name) for name in SPLITS}

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Returns modality -> (features, steps), as the presets of `lddu.config` take them.

        Steps are those of the split that is padded to most.

        Example:
          >>> import numpy as np
          >>> from lddu.data import from_sequences
          >>> from lddu.data.card import Card
          >>> def split(steps):
          ...     batch = from_sequences({"audio": [np.ones((steps, 3))]}, np.array([[1]]))
          ...     return Split(batch, np.array(["a"]))
          >>> card = Card("toy", "drawn", "none", (), {}, {}, ())
          >>> Dataset(split(2), split(4), split(5), labels=("joy",), card=card).shapes()
          {'audio': (3, 5)}
        """
        return {
            name: (
                m.values.shape[-1],
                max(s.batch.modalities[name].values.shape[1] for s in self.splits().values()),
            )
            for name, m in self.train.batch.modalities.items()
        }
