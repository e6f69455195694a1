"""`read_rows`: the samples of a table for a model that is trained, with or without labels."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.data.tables.building import ALIASES, batch_of
from lddu.data.tables.declaration import FILE, read_declaration
from lddu.data.tables.detection import complete
from lddu.data.tables.features import read_features
from lddu.data.tables.labels import read_labels
from lddu.data.tables.loading import choose, read_table
from lddu.data.tables.reserved import groups_of, ids_of, weight_of
from lddu.data.tables.table import Table, texts
from lddu.structs import Batch


class Rows(NamedTuple):
    """Samples of a table.

    Attributes:
      ids: (N,) names of the samples.
      batch: The samples; labels are None where the table has none.
      groups: (N,) groups, or None.
    """

    ids: np.ndarray
    batch: Batch
    groups: np.ndarray | None


def read_rows(
    path: str | os.PathLike,
    shapes: Mapping[str, tuple[int, int]],
    labels: Sequence[str],
    split: str | None = None,
) -> Rows:
    """Reads the samples of a table that a trained model is to predict.

    Args:
      path: A table in the form of `load_table`, or its folder; it may lack labels, the column
        `split` and any modality, which is then missing in every sample.
      shapes: Modality -> (features, steps) of the model. Longer sequences are an error.
      labels: Names of the model's labels.
      split: The split to read; None reads all rows.

    Returns:
      The samples, with hard labels in the order of `labels` if the table has all of them.

    Raises:
      FileNotFoundError: If `path` does not exist.
      ValueError: If anything does not fit, naming file, row and column; or if the split has no row.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    declared = read_declaration((path if path.is_dir() else path.parent) / FILE)
    table = read_table(choose(path, declared) if path.is_dir() else path)
    table = dataclasses.replace(table, ids=ids_of(table, declared.id or "id"))
    if declared.labels is None or set(labels) <= set(table.columns):
        known = tuple(name for name in labels if name in table.columns)
        declared = dataclasses.replace(declared, labels=known, hard={})
    declared = complete(table, declared)
    names, hard = (), None
    if declared.labels != ():
        names, _, hard = read_labels(table, declared)
    if missing := [name for name in labels if name not in names]:
        if names and set(names) & set(labels):
            raise ValueError(
                f"{table.name} has labels {', '.join(names)} but none for {', '.join(missing)}"
            )
        hard = None
    elif hard is not None:
        hard = hard[:, [names.index(name) for name in labels]]
    rows = _rows(table, declared.split or "split", split)
    findings, features = Findings(), {}
    for name, (width, _) in shapes.items():
        if name in declared.modalities:
            source = declared.modalities[name]._replace(features=width)
            features[name], _ = read_features(table, name, source, findings, progress=False)
    if not features:
        raise ValueError(
            f"{table.name} has modalities {', '.join(declared.modalities)}; the model needs "
            f"{', '.join(shapes)}"
        )
    weight = weight_of(table, declared.weight)
    batch = batch_of(features, "rows", rows, hard, weight, findings, None)
    batch = batch.replace(label_names=tuple(labels))
    groups = groups_of(table, declared.group)
    return Rows(np.array(table.ids)[rows], batch, None if groups is None else groups[rows])


def _rows(table: Table, column: str, split: str | None) -> np.ndarray:
    """Returns the numbers of the rows of a split."""
    if split is None:
        return np.arange(table.rows)
    if column not in table.columns:
        raise ValueError(f"{table.name} has no column {column!r}; read all rows instead")
    wanted = ALIASES.get(split, split)
    cells = [ALIASES.get(cell.strip().lower(), cell) for cell in texts(table, column)]
    rows = np.flatnonzero(np.array(cells) == wanted)
    if not len(rows):
        raise ValueError(f"{table.name}: no row has {column}={split!r}")
    return rows
