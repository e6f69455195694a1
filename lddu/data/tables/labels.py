"""Labels of a table: one column each, or one column that names them."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lddu.data.encoding import encode_labels
from lddu.data.tables import arrow
from lddu.data.tables.declaration import Declaration, Names
from lddu.data.tables.table import Arrays, Table, numbers, parse_number, texts

VOTES = re.compile(r"(\d+)\s*/\s*(\d+)")
_TRUTH = {"true": 1.0, "false": 0.0}


def parse_label(text: str) -> float:
    """Returns the label that a cell means: a number in [0, 1], true or false, or votes "k/n".

    Args:
      text: The cell.

    Returns:
      The label in [0, 1]; NaN if the cell is empty.

    Raises:
      ValueError: If the text means no label.

    Example:
      >>> [parse_label(cell) for cell in ("1", "0.25", "2/4", "")]
      [1.0, 0.25, 0.5, nan]
    """
    text = text.strip()
    if votes := VOTES.fullmatch(text):
        k, n = (int(part) for part in votes.groups())
        if n == 0 or k > n:
            raise ValueError(f"votes {text!r:.80}: {k} of {n} cannot be")
        return k / n
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    value = parse_number(text)
    if not (0 <= value <= 1 or value != value):
        raise ValueError(_outside(text))
    return value


def label_column(table: Table, name: str) -> np.ndarray:
    """Returns (N,) labels in [0, 1], NaN where unknown; ValueError names a cell that is none."""
    values = numbers(table, name, parse_label)
    bad = ~((values >= 0) & (values <= 1) | np.isnan(values))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"{table.where(row, name)}: {_outside(f'{values[row]:g}')}")
    return values


def read_labels(
    table: Table, declaration: Declaration
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Reads the labels of all rows.

    Args:
      table: The table.
      declaration: A complete declaration.

    Returns:
      The names of the C labels, soft labels (N, C) and hard labels (N, C), float32; NaN where
      unknown. A label is hard where the soft one is at least 0.5, unless it has a column of its
      own.

    Raises:
      ValueError: If a cell is no label, naming row and column.
    """
    if isinstance(declaration.labels, Names):
        names, soft = _named(table, declaration.labels)
    else:
        names = declaration.labels
        soft = np.stack([label_column(table, name) for name in names], 1)
    hard = np.where(np.isnan(soft), np.nan, soft >= 0.5)
    for name, column in declaration.hard.items():
        if name not in names:
            raise ValueError(f"{declaration.where}: 'hard' names {name!r}, which is not a label")
        values = label_column(table, column)
        bad = ~(np.isin(values, (0, 1)) | np.isnan(values))
        if bad.any():
            raise ValueError(
                f"{table.where(int(bad.argmax()), column)}: a hard label must be 0 or 1, got "
                f"{values[bad][0]:g}"
            )
        hard[:, names.index(name)] = values
    return names, soft.astype(np.float32), hard.astype(np.float32)


def _outside(text: str) -> str:
    return f"a label must lie in [0, 1], got {text:.80}"


def _named(table: Table, source: Names) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns names and (N, C) labels of a column of names; an empty cell is unknown."""
    cells = _cells(table, source)
    items = [item for cell in cells if cell is not None for item in cell]
    if source.names is None and not all(isinstance(item, str) for item in items):
        raise ValueError(
            f"{table.name}, column {source.column!r} numbers the labels; declare their 'names'"
        )
    names = source.names or tuple(sorted(set(items)))
    if not names:
        raise ValueError(f"{table.name}, column {source.column!r} does not name any label")
    numbered = dict(enumerate(names))
    samples = [
        cell if cell is None else [numbered.get(x, x) if _is_number(x) else x for x in cell]
        for cell in cells
    ]
    return names, encode_labels(samples, names, lambda row: table.where(row, source.column))


def _cells(table: Table, source: Names) -> list[Sequence[str | int] | None]:
    """Returns the names, or numbers, of the labels of each row; None where they are unknown."""
    column = table.column(source.column)
    if isinstance(column, Arrays):
        return column
    if arrow.is_list(column):
        return column.to_pylist()
    split = (
        [name for part in cell.split(source.separator) if (name := part.strip())]
        if cell.strip()
        else None
        for cell in texts(table, source.column)
    )
    return list(split)


def _is_number(item: Any) -> bool:
    return isinstance(item, int | np.integer)
