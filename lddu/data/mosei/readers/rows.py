"""`Rows`: the samples of one split as every reader returns them, and the checks readers share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lddu.data.cleaning import Side
from lddu.data.mosei.published import MODALITIES
from lddu.data.mosei.readers.ids import Ids, parse

Values = np.ndarray | Sequence[Any]
"""Features of N samples: one array (N, T, D), or N arrays (T_i, D)."""


@dataclass(frozen=True)
class Rows:
    """The samples of one split, in the file's order; features as the file has them, not copied.

    Attributes:
      where: File and split, which errors and findings name.
      modalities: text, audio and vision -> features.
      keys: Modality -> its name in the file.
      lengths: Modality -> (N,) true lengths, for modalities whose lengths the file declares.
      padded: Side of the padding; None if the data have to tell.
      ids: Ids of the samples; None if the file has none.
      emotions: (N, 6) intensities in [0, 3], or zeros and ones; None if they have to be joined.
      intensities: Whether `emotions` are intensities.
      sentiment: (N,) sentiment in [-3, 3]; None if the file has none.
      steps: Modality -> longest sequence wanted; a modality that is not named keeps all steps.
    """

    where: str
    modalities: Mapping[str, Values]
    keys: Mapping[str, str]
    lengths: Mapping[str, np.ndarray] = field(default_factory=dict)
    padded: Side | None = None
    ids: Ids | None = None
    emotions: np.ndarray | None = None
    intensities: bool = False
    sentiment: np.ndarray | None = None
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.modalities[MODALITIES[0]])

    def names(self) -> list[str]:
        """Returns the ids, or names such as "train 17" if the file has none."""
        split = self.where.rpartition(" ")[2]
        return self.ids.names if self.ids else [f"{split} {i}" for i in range(self.size)]


def require(split: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    """Raises ValueError unless a split has all keys, naming those that are missing."""
    missing = [key for key in keys if key not in split]
    if missing:
        present = ", ".join(sorted(str(key)[:40] for key in split)[:20])
        raise ValueError(f"{where}: no {', '.join(map(repr, missing))}; it has {present}")


def same_count(counts: Mapping[str, int], where: str) -> None:
    """Raises ValueError unless all keys have the same positive number of samples."""
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{key!r} {count}" for key, count in counts.items())
        raise ValueError(f"{where}: numbers of samples differ: {listed}")
    if 0 in counts.values():
        raise ValueError(f"{where}: no samples")


def modalities(split: Mapping[str, Any], keys: Mapping[str, str], where: str) -> dict[str, Values]:
    """Returns modality -> features of a split.

    Args:
      split: The content of the split.
      keys: Modality -> its key in the split.
      where: File and split, which errors name.

    Raises:
      ValueError: If a key is missing, or its value is not an array of sequences.
    """
    require(split, list(keys.values()), where)
    return {name: sequences(split[key], f"{where} {key!r}") for name, key in keys.items()}


def sequences(values: Any, where: str) -> Values:
    """Returns features as one array (N, T, D), or as a list with one array (T_i, D) per sample.

    Raises:
      ValueError: If they have another form, naming the row.
    """
    if isinstance(values, np.ndarray) and values.dtype != object:
        if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "fiub":
            raise ValueError(
                f"{where}: {values.dtype} {values.shape}, expected numbers (samples, steps, "
                "features)"
            )
        return values
    if not isinstance(values, (list, tuple)) and not (
        isinstance(values, np.ndarray) and values.ndim
    ):
        raise ValueError(f"{where}: a {type(values).__name__}, expected an array")
    rows = []
    for i, row in enumerate(values):
        array = numbers(row, f"{where}, row {i}")
        if array.ndim != 2 or array.shape[1] == 0 or (rows and array.shape[1] != rows[0].shape[1]):
            like = f" like row 0, {rows[0].shape}" if rows else ""
            raise ValueError(
                f"{where}, row {i}: shape {array.shape}, expected (steps, features){like}"
            )
        rows.append(array)
    if not rows:
        raise ValueError(f"{where}: no samples")
    return rows


def numbers(values: Any, where: str) -> np.ndarray:
    """Returns values as an array of numbers.

    Raises:
      ValueError: If they are not numeric or not an array.
    """
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: not an array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where}: values of type {array.dtype}, expected numbers")
    return array


def column(values: Any, where: str) -> np.ndarray:
    """Returns numbers (N,), (N, 1) or (N, 1, 1) as (N,) float64.

    Raises:
      ValueError: If they are not numeric or have another shape.
    """
    array = numbers(values, where)
    if array.ndim == 0 or array.size != len(array):
        raise ValueError(f"{where}: shape {array.shape}, expected one number a sample")
    return array.reshape(-1).astype(np.float64)


def ids(split: Mapping[str, Any], where: str) -> Ids | None:
    """Returns the ids of a split; None if it has none."""
    return parse(split["id"], f"{where} 'id'") if "id" in split else None


def steps(values: Values) -> tuple[int, ...]:
    """Returns the numbers of steps of the sequences: a single one if they are all equal."""
    if isinstance(values, np.ndarray):
        return (values.shape[1],)
    counts = tuple(row.shape[0] for row in values)
    return counts[:1] if len(set(counts)) == 1 else counts


def is_aligned(rows: Rows) -> bool:
    """Tells whether all modalities have the same steps, as word-aligned features have."""
    return len({steps(values) for values in rows.modalities.values()}) == 1
