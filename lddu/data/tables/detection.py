"""What the columns of a table are where nothing declares it.

1. `id`, `split`, `group` and `weight` are what their names say.
2. Columns of arrays or lists of numbers are modalities, and so are columns of text in which every
   cell is empty or ends in `.npy`.
3. Files `.npz`, `.h5`, `.hdf5` and `.safetensors` beside the table are modalities, named by file.
4. A column `labels` of text, or of lists, names the labels.
5. Without it, every other column has the labels of its name, and all cells must be labels.

A part that is declared is not detected, and then other columns may hold anything.
"""

import dataclasses
import json

from lddu.data.tables import arrow
from lddu.data.tables.declaration import FILE, Declaration, Names, Source
from lddu.data.tables.keyed import SUFFIXES
from lddu.data.tables.labels import label_column
from lddu.data.tables.table import Table, is_sequence, texts

NAMED = "labels"


def complete(table: Table, declaration: Declaration) -> Declaration:
    """Returns the declaration with labels and modalities that are detected where it has none.

    Raises:
      ValueError: If that is ambiguous; the error shows a declaration to start from.
    """
    modalities, labels = declaration.modalities, declaration.labels
    taken = {
        *_reserved(declaration),
        *declaration.hard.values(),
        *((labels.column,) if isinstance(labels, Names) else labels or ()),
    }
    if modalities is None:
        modalities = _modalities(table, taken)
    for source in modalities.values():
        taken |= {source.column, *(source.columns or ())}
    if labels is None:
        labels = _labels(table, [name for name in table.columns if name not in taken])
    return dataclasses.replace(declaration, labels=labels, modalities=modalities)


def _reserved(declaration: Declaration) -> set[str]:
    names = ("id", "split", "group", "weight")
    return {getattr(declaration, name) or name for name in names}


def _modalities(table: Table, taken: set[str]) -> dict[str, Source]:
    free = [name for name in table.columns if name not in taken and name != NAMED]
    found = {name: Source(column=name) for name in free if _is_modality(table, name)}
    files = [] if table.folder is None else sorted(table.folder.iterdir())
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            continue
        if file.stem in found:
            there = found[file.stem]
            raise ValueError(
                f"{table.name}: two sources of modality {file.stem!r}: "
                f"{there.file or f'column {there.column!r}'} and {file.name}. {_advice(table)}"
            )
        found[file.stem] = Source(file=file.name)
    if not found:
        raise ValueError(f"{table.name}: no modality was recognised. {_advice(table)}")
    return found


def _is_modality(table: Table, name: str) -> bool:
    column = table.columns[name]
    if is_sequence(column):
        return True
    try:
        cells = {cell for cell in texts(table, name) if cell}
    except ValueError:
        return False
    return bool(cells) and all(cell.endswith(".npy") for cell in cells)


def _labels(table: Table, others: list[str]) -> tuple[str, ...] | Names:
    if NAMED in others and (arrow.is_list(table.columns[NAMED]) or _is_words(table, NAMED)):
        return Names(NAMED)
    for name in others:
        try:
            label_column(table, name)
        except ValueError as error:
            raise ValueError(f"{error}. {_advice(table)}") from None
    if not others:
        raise ValueError(f"{table.name}: no label was recognised. {_advice(table)}")
    return tuple(others)


def _is_words(table: Table, name: str) -> bool:
    """Tells whether a column cannot be read as labels."""
    try:
        label_column(table, name)
    except ValueError:
        return True
    return False


def _advice(table: Table) -> str:
    """Returns a sentence with a declaration made of the table's own columns."""
    others = [name for name in table.columns if name not in _reserved(Declaration())]
    example = {
        "labels": others[:2] or ["joy", "anger"],
        "modalities": {"audio": {"column": "audio"}, "text": {"file": "text.npz"}},
    }
    if len(others) > 2:
        example["modalities"] = {"features": {"columns": others[2:5]}}
    return (
        f"Declare what the columns are, in {FILE} beside the table or as declaration=, such as "
        + json.dumps(example, ensure_ascii=False)
    )
