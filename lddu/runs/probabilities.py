"""A table of any model's probabilities and true labels, as `lddu predict` writes it."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lddu.runs.columns import parquet

PREFIX = "prob_"


@dataclasses.dataclass(frozen=True, eq=False)
class Probabilities:
    """Probabilities of any model beside the true labels.

    Attributes:
      ids: (N,) names of the rows.
      label_names: C names.
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], NaN where unknown; None if the table has no labels.
      groups: (N,) groups, or None.
      weights: (N,) sample weights, or None.
    """

    ids: np.ndarray
    label_names: tuple[str, ...]
    probs: np.ndarray
    labels: np.ndarray | None
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def labelled(self) -> np.ndarray:
        """Returns the labels.

        Raises:
          ValueError: If the table has none.
        """
        if self.labels is None:
            raise ValueError(
                f"the table has probabilities but no labels: beside {PREFIX}{self.label_names[0]} "
                f"it needs a column {self.label_names[0]} with 0 or 1"
            )
        return self.labels


def read(path: Path) -> Probabilities:
    """Reads a table of probabilities and, where it has them, true labels.

    Columns `prob_<label>` hold the probabilities and columns `<label>` the labels; `id`, `group`
    and `weight` are optional, and other columns are not read.

    Args:
      path: A .csv, .parquet, .jsonl or .npz file.

    Returns:
      The table.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the ending is unknown, the file is damaged, there is no column of
        probabilities, or a value is not a number or out of range; names file, column and row.
    """
    columns = _columns(path)
    names = tuple(name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX))
    if not names:
        raise ValueError(
            f"{path} has no column {PREFIX}<label>; its columns are {', '.join(columns) or 'none'}"
        )
    known = [name for name in names if name in columns]
    if known and len(known) < len(names):
        raise ValueError(
            f"{path} has labels for {', '.join(known)} but none for "
            f"{', '.join(sorted(set(names) - set(known)))}"
        )
    rows = len(columns[PREFIX + names[0]])
    if not rows:
        raise ValueError(f"{path} has no rows")
    probs = [_numbers(path, columns, PREFIX + name, unknown=False) for name in names]
    labels = [_numbers(path, columns, name, unknown=True) for name in known]
    weights = _numbers(path, columns, "weight", unknown=False) if "weight" in columns else None
    return Probabilities(
        np.asarray(columns.get("id", range(rows))),
        names,
        np.stack(probs, 1),
        np.stack(labels, 1) if labels else None,
        np.asarray(columns["group"]) if "group" in columns else None,
        weights,
    )


def _columns(path: Path) -> dict[str, Sequence]:
    """Returns the columns of a file as they are written there."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".npz": _npz}
    if path.suffix not in readers:
        raise ValueError(f"{path}: the name must end in {', '.join(readers)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        return readers[path.suffix](path)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # csv, json, zipfile, NumPy and pyarrow raise many kinds
        raise ValueError(f"{path} is damaged: {error}") from error


def _csv(path: Path) -> dict[str, Sequence]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        head, *rows = csv.reader(file)
    for number, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise ValueError(f"line {number} has {len(row)} cells, the header {len(head)}")
    return dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else {k: () for k in head}


def _jsonl(path: Path) -> dict[str, Sequence]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: Path) -> dict[str, Sequence]:
    table = parquet().read_table(path)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _npz(path: Path) -> dict[str, Sequence]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name].tolist() for name in file.files}


def _numbers(path: Path, columns: dict[str, Sequence], name: str, *, unknown: bool) -> np.ndarray:
    """Returns a column as float64; empty cells are NaN where they may be `unknown`."""
    ids, values = columns.get("id"), []
    for row, cell in enumerate(columns[name]):
        where = f"row {row}" if ids is None else f"id {ids[row]!r}"
        try:
            value = np.nan if cell in ("", None) else float(cell)
        except (TypeError, ValueError):
            raise ValueError(f"{path}, {where}: {name} is {cell!r}, must be a number") from None
        if np.isnan(value) and not unknown:
            raise ValueError(f"{path}, {where}: {name} is empty")
        if name != "weight" and not np.isnan(value) and not 0 <= value <= 1:
            raise ValueError(f"{path}, {where}: {name} is {value:g}, must lie in [0, 1]")
        values.append(value)
    return np.array(values)
