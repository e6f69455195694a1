"""A table of any model's probabilities and true labels, as `lddu predict` writes it."""

import dataclasses
from pathlib import Path

import numpy as np

from lddu.data.tables.labels import label_column
from lddu.data.tables.loading import read_table
from lddu.data.tables.table import numbers, texts

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
      path: A .csv, .tsv or .parquet file.

    Returns:
      The table.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If the file is damaged, there is no column of probabilities, or a value is not a
        number or out of range; names file, column and row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    table = read_table(path)
    names = tuple(name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX))
    if not names:
        raise ValueError(
            f"{path} has no column {PREFIX}<label>; its columns are {', '.join(table.columns)}"
        )
    known = [name for name in names if name in table.columns]
    if known and len(known) < len(names):
        missing = ", ".join(sorted(set(names) - set(known)))
        raise ValueError(f"{path} has labels for {', '.join(known)} but none for {missing}")
    if not table.rows:
        raise ValueError(f"{path} has no rows")
    if "id" in table.columns:
        table = dataclasses.replace(table, ids=texts(table, "id"))
    probs = np.stack([label_column(table, PREFIX + name) for name in names], 1)
    if np.isnan(probs).any():
        row, column = np.argwhere(np.isnan(probs))[0]
        raise ValueError(f"{table.where(row, PREFIX + names[column])}: the cell is empty")
    return Probabilities(
        np.array(table.ids if table.ids else range(table.rows)),
        names,
        probs,
        np.stack([label_column(table, name) for name in names], 1) if known else None,
        np.array(texts(table, "group")) if "group" in table.columns else None,
        numbers(table, "weight") if "weight" in table.columns else None,
    )
