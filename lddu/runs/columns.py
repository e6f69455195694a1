"""Predictions as named columns, and the files that hold columns: CSV, Parquet, JSON lines, npz."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lddu.files import atomic_path
from lddu.structs import Prediction

Columns = Mapping[str, np.ndarray]
"""Name -> (N,) values of a column."""


def of_prediction(
    ids: np.ndarray,
    prediction: Prediction,
    decisions: np.ndarray,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    sets: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Returns the columns of a prediction.

    Args:
      ids: (N,) names of the samples.
      prediction: N predicted samples.
      decisions: (N, C) bool.
      label_names: C names.
      modality_names: M names.
      labels: (N, C) true labels, where they are known.
      groups: (N,) groups, where there are any.
      sets: (N, C) bool, whether a label is in the sample's conformal set.

    Returns:
      `id`, `group`, one column per label with its true value, and per label `prob_`, `decided_`,
      `in_set_`, `aleatoric_`, `epistemic_` and, per modality, `weight_<label>_<modality>`. What is
      not known has no column.
    """
    columns = {"id": np.asarray(ids)}
    if groups is not None:
        columns["group"] = np.asarray(groups)
    blocks = {
        "": labels,
        "prob_": prediction.probs,
        "decided_": decisions,
        "in_set_": sets,
        "aleatoric_": prediction.aleatoric,
        "epistemic_": prediction.epistemic,
    }
    for prefix, block in blocks.items():
        if block is not None:
            values = np.asarray(block)
            values = values.astype(int) if values.dtype == bool else values
            columns |= {f"{prefix}{name}": values[:, c] for c, name in enumerate(label_names)}
    if prediction.weights is not None:
        weights = np.asarray(prediction.weights)
        for c, label in enumerate(label_names):
            columns |= {
                f"weight_{label}_{name}": weights[:, c, m] for m, name in enumerate(modality_names)
            }
    return columns


def write(path: Path, columns: Columns) -> Path:
    """Writes columns to a file in one step; the ending of its name chooses the form.

    Args:
      path: A file that ends in .csv, .parquet, .jsonl or .npz.
      columns: The columns.

    Returns:
      The path.

    Raises:
      ValueError: If the ending is another one.
    """
    if path.suffix not in _WRITERS:
        raise ValueError(f"{path}: the name must end in {', '.join(_WRITERS)}")
    with atomic_path(path) as partial:
        _WRITERS[path.suffix](partial, columns)
    return path


def _write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(_plain(x) for x in columns.values()), strict=True))


def _write_jsonl(path: Path, columns: Columns) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in zip(*(_plain(x) for x in columns.values()), strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")


def _write_parquet(path: Path, columns: Columns) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({k: _plain(x) for k, x in columns.items()}), path)


def _write_npz(path: Path, columns: Columns) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **columns)


def _plain(column: np.ndarray) -> list:
    """Returns Python values; unknown numbers, NaN, become None."""
    values = column.tolist()
    if column.dtype.kind == "f":
        # All digits, so that a threshold fitted on the file is the same for the model.
        values = [None if x != x else x for x in values]
    return values


_WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
    ".npz": _write_npz,
}
