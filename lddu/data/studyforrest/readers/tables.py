"""Delimited text files, read with errors that name file, line and column."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def read(path: Path, columns: Sequence[str], delimiter: str = ",") -> dict[str, list[str]]:
    """Reads the named columns of a file with a header line.

    Args:
      path: The file.
      columns: Names of the columns to read.
      delimiter: Character between two fields.

    Returns:
      Column name -> its fields, in file order.

    Raises:
      ValueError: If the file is empty, is not UTF-8 text, lacks a column, or a line has another
        number of fields than the header (a file cut short, say).
    """
    with path.open(encoding="utf-8", newline="") as file:
        # With `strict`, a quotation left open at the end of a cut file is an error.
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise ValueError(f"{path} is empty")
            for name in columns:
                if name not in header:
                    raise ValueError(f"{path}, line 1: no column {name!r} among {header}")
            rows = []
            for row in reader:
                if len(row) != len(header):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(row)} fields, but the header has "
                        f"{len(header)}"
                    )
                rows.append(row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise ValueError(f"{path}: nothing below the header")
    fields = list(zip(*rows, strict=True))
    return {name: list(fields[header.index(name)]) for name in columns}


def numbers(path: Path, table: dict[str, list[str]], column: str) -> np.ndarray:
    """Returns a column as finite float64 numbers.

    Args:
      path: The file, which errors name.
      table: Column name -> its fields, from `read`.
      column: Name of the column.

    Raises:
      ValueError: If a field is not a finite number, naming file, line and column.
    """
    try:
        values = np.asarray(table[column]).astype(np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    bad = (row for row, field in enumerate(table[column]) if not _is_finite(field))
    row = next(bad, 0)
    raise fault(path, row, column, f"{table[column][row]!r} is not a finite number")


def _is_finite(field: str) -> bool:
    try:
        return bool(np.isfinite(np.asarray(field).astype(np.float64)))
    except ValueError:
        return False


def fault(path: Path, row: int, column: str, what: str) -> ValueError:
    """Returns an error about one field; `row` counts from 0 below the header.

    Fields of these files never span lines, so that a row's line is its number plus 2.
    """
    return ValueError(f"{path}, line {row + 2}, column {column!r}: {what}")
