"""The columns with a meaning of their own: ids, groups and weights."""

import numpy as np

from lddu.data.tables.table import Table, numbers, texts


def ids_of(table: Table, column: str) -> list[str]:
    """Returns the N ids; ValueError names an id that is missing, has a NUL or is there twice."""
    ids = texts(table, column)
    if not ids:
        raise ValueError(f"{table.name} has no rows")
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name.strip() or "\0" in name:
            what = "the id is missing" if not name.strip() else f"id {name!r:.80} has a NUL"
            raise ValueError(f"{table.where(row, column)}: {what}")
        if first.setdefault(name, row) != row:
            raise ValueError(
                f"{table.where(row, column)}: id {name!r:.80} is also that of "
                f"{table.where(first[name])}"
            )
    return ids


def groups_of(table: Table, column: str | None) -> np.ndarray | None:
    """Returns (N,) the groups, or None without the column; ValueError names a missing one."""
    if column is None and "group" not in table.columns:
        return None
    column = column or "group"
    cells = texts(table, column)
    for row, cell in enumerate(cells):
        if not cell.strip():
            raise ValueError(f"{table.where(row, column)}: the group is missing")
    return np.array(cells)


def weight_of(table: Table, column: str | None) -> np.ndarray | None:
    """Returns (N,) the weights, or None without the column; ValueError names one below 0."""
    if column is None and "weight" not in table.columns:
        return None
    column = column or "weight"
    values = numbers(table, column)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        row = int(bad.argmax())
        got = "none" if np.isnan(values[row]) else f"{values[row]:g}"
        raise ValueError(
            f"{table.where(row, column)}: a weight must be a number of at least 0, got {got}"
        )
    return values.astype(np.float32)
