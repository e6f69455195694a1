"""A table in memory, column by column, and the reading of its cells as text or numbers."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.tables import arrow

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Arrays(list):
    """A column whose cells are NumPy arrays, or None."""


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """The columns of a table.

    Attributes:
      name: What errors call the table.
      columns: Name -> cells: a list of texts ("" is empty), an Arrow `ChunkedArray`, or `Arrays`.
      rows: Number of rows, N.
      folder: Folder that names of files are relative to; None if there is no file.
      lines: (N,) line of each row in the file; None if it has no lines.
      ids: The N ids, once they are read.
    """

    name: str
    columns: Mapping[str, Any]
    rows: int
    folder: Path | None = None
    lines: Sequence[int] | None = None
    ids: Sequence[str] | None = None

    def where(self, row: int, column: str | None = None) -> str:
        """Returns the place of a row, or of one of its cells, as errors name it."""
        place = f"row {row}" if self.lines is None else f"line {self.lines[row]}"
        known = "" if self.ids is None else f" (id {self.ids[row]!r})"
        cell = "" if column is None else f", column {column!r}"
        return f"{self.name}, {place}{known}{cell}"

    def column(self, name: str) -> Any:
        """Returns a column; ValueError names those that there are."""
        if name not in self.columns:
            raise ValueError(
                f"{self.name} has no column {name!r}; it has {', '.join(map(repr, self.columns))}"
            )
        return self.columns[name]


def is_sequence(column: Any) -> bool:
    """Tells whether the cells are arrays or lists of numbers, or lists of such lists."""
    return isinstance(column, Arrays) or arrow.is_numeric_list(column)


def texts(table: Table, name: str) -> list[str]:
    """Returns the cells as texts; integers become their digits, and an empty cell "".

    Raises:
      ValueError: If the column has lists or fractions, naming it.
    """
    column = table.column(name)
    if isinstance(column, list) and not isinstance(column, Arrays):
        return column
    cells = None if isinstance(column, Arrays) else arrow.texts(column)
    if cells is None:
        kind = "arrays" if isinstance(column, Arrays) else column.type
        raise ValueError(f"{table.name}, column {name!r} holds {kind}, expected text")
    return cells


def numbers(table: Table, name: str, parse: Callable[[str], float] | None = None) -> np.ndarray:
    """Returns the cells as numbers.

    Args:
      table: The table.
      name: Name of the column.
      parse: Function from the text of a cell to its number; ValueError says what is wrong with it.
        None takes plain numbers. It is called once for each different text.

    Returns:
      (N,) float64, NaN for an empty cell.

    Raises:
      ValueError: If a cell is not a number, naming row and column.
    """
    column = table.column(name)
    if not isinstance(column, list):
        values = arrow.numbers(column)
        if values is not None:
            return values
    return parsed(table, name, texts(table, name), parse or parse_number)


def parsed(table: Table, name: str, cells: list[str], parse: Callable[[str], float]) -> np.ndarray:
    """Returns (N,) the number of each cell; ValueError names the first cell that has none."""
    known: dict[str, float] = {}
    wrong: dict[str, ValueError] = {}
    for cell in set(cells):
        try:
            known[cell] = parse(cell)
        except ValueError as error:
            wrong[cell] = error
    if wrong:
        row = next(row for row, cell in enumerate(cells) if cell in wrong)
        raise ValueError(f"{table.where(row, name)}: {wrong[cells[row]]}")
    return np.array([known[cell] for cell in cells], np.float64)


def parse_number(text: str) -> float:
    """Returns the number in a text, NaN for an empty one or "nan"."""
    text = text.strip()
    if text.lower() in ("", "nan"):
        return float("nan")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a number; leave the cell empty if it is unknown")
    return float(text)
