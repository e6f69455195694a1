"""The features of one modality, from wherever the declaration says that they are."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from lddu.data import card
from lddu.data.card import Findings, read_source
from lddu.data.tables import arrow
from lddu.data.tables.declaration import Source
from lddu.data.tables.files import Folder, Reader
from lddu.data.tables.keyed import read_keyed
from lddu.data.tables.ragged import Ragged, dense, expected, gather
from lddu.data.tables.table import Arrays, Table, is_sequence, numbers, texts


def read_features(
    table: Table, name: str, source: Source, findings: Findings, progress: bool = True
) -> tuple[Ragged, list[card.Source]]:
    """Reads the features of all rows.

    Args:
      table: The table, with ids.
      name: Name of the modality.
      source: Where the features are.
      findings: Collects what is repaired or doubtful.
      progress: Whether to show a progress bar while a large file is read.

    Returns:
      The sequences, and the files that they were read from.

    Raises:
      ImportError: If the package for a file is not installed.
      ValueError: If they cannot be read, naming file, row and column.
    """
    sources: list[card.Source] = []
    if source.columns is not None:
        ragged = _columns(table, source)
    elif source.file is not None:
        try:
            path = _folder(table).file(source.file)
        except ValueError as error:
            raise ValueError(f"modality {name!r}: {error}") from None
        ragged = read_keyed(path, table.ids, table.where, source.features, findings)
        sources.append(read_source(path, progress=progress))
    else:
        ragged = _column(table, source, sources)
    if not ragged.values.shape[1]:
        raise ValueError(
            f"{table.name}: modality {name!r} is empty in every row; declare 'features', its width"
        )
    return ragged, sources


def _folder(table: Table) -> Folder:
    if table.folder is None:
        raise ValueError(f"{table.name} has no folder, so it cannot name files")
    return Folder(table.folder)


def _column(table: Table, source: Source, sources: list[card.Source]) -> Ragged:
    column = table.column(source.column)

    def where(row: int) -> str:
        return table.where(row, source.column)

    if isinstance(column, Arrays):
        return gather(column, where, source.features)
    if is_sequence(column) or arrow.is_list(column):
        return _lists(column, where, source.features)
    reader = Reader(_folder(table))
    ragged = gather(_arrays(texts(table, source.column), reader, where), where, source.features)
    sources.append(reader.source(source.column))
    return ragged


def _arrays(
    cells: list[str], reader: Reader, where: Callable[[int], str]
) -> Iterator[np.ndarray | None]:
    for row, cell in enumerate(cells):
        try:
            yield reader.read(cell) if cell else None
        except ValueError as error:
            raise ValueError(f"{where(row)}: {error}") from None


def _columns(table: Table, source: Source) -> Ragged:
    """Returns one step per row, of which empty cells are NaN; none where all cells are empty."""
    chosen: list[str] = []
    for pattern in source.columns:
        exact = pattern in table.columns
        fitting = [pattern] if exact else [n for n in table.columns if fnmatchcase(n, pattern)]
        if not fitting:
            table.column(pattern)  # raises
        chosen += [name for name in fitting if name not in chosen]
    values = np.stack([numbers(table, name) for name in chosen], 1)
    if source.features not in (None, len(chosen)):
        raise ValueError(
            f"{table.name}: {len(chosen)} columns fit, but 'features' is {source.features}"
        )
    here = ~np.isnan(values).all(1)
    return dense(values[here], here)


def _lists(column: Any, where: Callable[[int], str], features: int | None) -> Ragged:
    """Returns the sequences of an Arrow column of lists of lists, or of flat lists."""
    parts, lengths, rows = [], [], 0
    for chunk in column.chunks:
        items, sizes = arrow.unnest(chunk)

        def place(row: int, start: int = rows) -> str:
            return where(start + row)

        width = features or (parts[0].shape[1] if parts else None)
        values, steps = _open(items, np.maximum(sizes, 0), place, width, features)
        if len(values):
            parts.append(values)
        lengths.append(steps)
        rows += len(chunk)
    values = np.concatenate(parts) if parts else np.zeros((0, features or 0), np.float32)
    return dense(values, np.concatenate(lengths) if lengths else np.zeros(0))


def _open(
    items: Any,
    sizes: np.ndarray,
    where: Callable[[int], str],
    width: int | None,
    features: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps of the rows of one chunk, and how many each has."""
    ends = np.cumsum(sizes)

    def row_of(item: int) -> int:
        return int(np.searchsorted(ends, item, side="right"))

    nested, inner = arrow.is_list(items), items
    if nested:
        inner, widths = arrow.unnest(items)
        if len(widths):
            width = width or int(widths[0])
            bad = (widths != width) | (widths < 1)
            if bad.any():
                item = int(bad.argmax())
                got = "a step is null" if widths[item] < 0 else f"{widths[item]} features"
                raise ValueError(f"{where(row_of(item))}: {got}, expected {width or 'at least 1'}")
    elif len(inner):
        if features is None:
            raise ValueError(f"{where(row_of(0))}: a flat list, {expected(None)}")
        if (sizes % width).any():
            row = int((sizes % width != 0).argmax())
            raise ValueError(
                f"{where(row)}: {sizes[row]} values, not a multiple of {width} features"
            )
        sizes = sizes // width
    values = arrow.float32(inner)
    if values is None:
        raise ValueError(f"{where(row_of(0))}: items of type {inner.type}, expected numbers")
    return values.reshape(-1, width or 1), sizes
