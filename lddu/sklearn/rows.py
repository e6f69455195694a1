"""Samples of several modalities, counted and chosen by row as scikit-learn does."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse

from lddu.data.batching import take
from lddu.data.sequences import from_sequences
from lddu.structs import Batch

TABLE = "table"  # the one modality of a table


class Rows:
    """Samples of several modalities that scikit-learn can count and choose from.

    Cross-validation, searches and `sklearn.model_selection.train_test_split` take rows of their
    input by index, which a mapping or a `Batch` does not support.

    Args:
      samples: `Rows`, a `Batch`, or modality -> one (steps, features) array per sample (None where
        it is missing), one (N, steps, features) array, or one (N, features) array.

    Attributes:
      batch: The samples as a `Batch`, all padded to the longest sequence.
      shape: (N,), the number of samples.

    Raises:
      ValueError: If numbers of samples differ or shapes do not fit, naming the modality.

    Example:
      >>> import numpy as np
      >>> from lddu.sklearn import Rows
      >>> rows = Rows({"text": [np.ones((n, 4)) for n in (1, 2, 3)], "age": np.ones((3, 1))})
      >>> len(rows), rows[[2, 0]].batch.modalities["text"].mask.sum(1).tolist()
      (3, [3, 1])
    """

    def __init__(self, samples: Batch | Mapping[str, Any]):
        if isinstance(samples, Rows):
            samples = samples.batch
        self.batch = samples if isinstance(samples, Batch) else to_batch(samples)

    @property
    def shape(self) -> tuple[int]:
        """The number of samples as a shape, (N,)."""
        return (self.batch.size,)

    def __len__(self) -> int:
        return self.batch.size

    def __getitem__(self, rows: Any) -> "Rows":
        if isinstance(rows, tuple):
            rows = rows[0]  # scikit-learn chooses rows of an array by array[rows, ...]
        if not isinstance(rows, slice):
            rows = np.atleast_1d(rows)
        return Rows(take(self.batch, rows))


def to_batch(samples: Mapping[str, Any], features: Mapping[str, int] | None = None) -> Batch:
    """Builds a `Batch` from a mapping of modalities.

    Args:
      samples: Modality -> samples, as `Rows` takes them.
      features: Modality -> width; needed only where every sequence of a modality is None.

    Returns:
      A `Batch` without labels.

    Raises:
      ValueError: If numbers of samples differ or shapes do not fit, naming the modality.
    """
    return from_sequences({k: _sequences(v) for k, v in samples.items()}, features=features)


def table_batch(table: np.ndarray) -> Batch:
    """Returns an (N, features) table as a `Batch` of one modality with one step per row."""
    return to_batch({TABLE: table})


def is_mapping(samples: Any) -> bool:
    """Returns whether samples are a mapping of modalities (as some sparse matrices look)."""
    return isinstance(samples, Mapping) and not issparse(samples)


def without_mappings(samples: Any) -> Any:
    """Returns a `Batch` or a mapping as `Rows`, and anything else as it is."""
    return Rows(samples) if isinstance(samples, Batch) or is_mapping(samples) else samples


def _sequences(values: Any) -> Sequence[np.ndarray | None]:
    if isinstance(values, Sequence):
        return values
    values = np.asarray(values)
    return list(values[:, None] if values.ndim == 2 else values)
