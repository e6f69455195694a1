"""`write_table`: a data set to a table, its declaration and the files beside it."""

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.dataset import Dataset, Split
from lddu.data.tables.declaration import FILE
from lddu.files import atomic_path, write_text

_RESERVED = ("id", "split", "group", "weight")


def write_table(
    path: str | os.PathLike,
    data: Dataset | Mapping[str, Split],
    labels: Sequence[str] | None = None,
) -> Path:
    """Writes a data set in the form that `load_table` reads, with `dataset.json` beside the table.

    A `.csv` file has one `.npz` file per modality beside it, with the arrays `ids`, `lengths` and
    `values`; a `.parquet` file has the features as columns of lists. Only real steps are written.

    Args:
      path: The file to write, `.csv` or `.parquet`; a folder of its own is best.
      data: The data set, or its splits by name.
      labels: Names of the labels; needed only for splits.

    Returns:
      The absolute path of the table.

    Raises:
      ValueError: If the suffix is unknown, a name or id cannot be written, or ids are not unique.
    """
    path = Path(path).expanduser().absolute()
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise ValueError(f"{path.name}: unknown suffix, expected .csv or .parquet")
    splits = data.splits() if isinstance(data, Dataset) else dict(data)
    labels = data.labels if isinstance(data, Dataset) else labels
    if labels is None:
        raise ValueError("labels: give the names of the labels")
    columns, hard = _columns(splits, tuple(labels))
    lists, modalities = {}, {}
    for i, name in enumerate(next(iter(splits.values())).batch.modalities):
        values, lengths = _steps(splits, name)
        source = {"features": values.shape[1]}
        if kind == ".csv":
            stem = name if re.fullmatch(r"[\w-]+", name) else f"modality-{i}"
            source["file"] = f"{stem}.npz"
            with atomic_path(path.with_name(source["file"])) as partial, partial.open("wb") as file:
                np.savez(file, ids=columns["id"], lengths=lengths, values=values)
        else:
            source["column"] = _free(name, [*columns, *lists])
            lists[source["column"]] = (values, lengths)
        modalities[name] = source
    content = {"table": path.name, "labels": list(labels), "modalities": modalities}
    content |= {"hard": hard} if hard else {}
    content |= {"name": data.card.name} if isinstance(data, Dataset) and data.card.name else {}
    write_text(path.with_name(FILE), json.dumps(content, indent=2) + "\n")
    with atomic_path(path) as partial:
        (_write_csv if kind == ".csv" else _write_parquet)(partial, columns, lists)
    return path


def _columns(
    splits: Mapping[str, Split], labels: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the plain columns, and label -> its column of hard labels where soft ones differ."""
    wrong = [name for name in labels if name in _RESERVED or not name]
    if wrong or len(set(labels)) < len(labels):
        raise ValueError(
            f"labels {list(labels)}: names must be unique and none of {list(_RESERVED)}"
        )
    parts = list(splits.values())
    ids = np.concatenate([np.asarray(part.ids, str) for part in parts])
    if len(np.unique(ids)) < len(ids):
        raise ValueError("ids are not unique over the splits")
    if not all(name.strip() for name in ids.tolist()):
        raise ValueError("an id is empty")
    columns = {"id": ids, "split": np.repeat(list(splits), [len(part.ids) for part in parts])}
    if all(part.groups is not None for part in parts):
        columns["group"] = np.concatenate([np.asarray(part.groups, str) for part in parts])
    if all(part.batch.weight is not None for part in parts):
        columns["weight"] = np.concatenate([np.asarray(p.batch.weight) for p in parts])
    soft = np.concatenate([np.asarray(part.soft_batch().labels, np.float32) for part in parts])
    hard = np.concatenate([np.asarray(part.batch.labels, np.float32) for part in parts])
    derived = np.where(np.isnan(soft), np.nan, soft >= 0.5)
    columns |= dict(zip(labels, soft.T, strict=True))
    apart = {}
    for c, name in enumerate(labels):
        if not np.array_equal(derived[:, c], hard[:, c], equal_nan=True):
            apart[name] = _free(f"{name}_hard", columns)
            columns[apart[name]] = hard[:, c]
    return columns, apart


def _free(name: str, taken: Any) -> str:
    while name in taken or name in _RESERVED:
        name += "_"
    return name


def _steps(splits: Mapping[str, Split], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the real steps (S, D) of all rows, and how many each row has (N,)."""
    values, lengths = [], []
    for part in splits.values():
        mask = np.asarray(part.batch.effective_mask(name))
        values.append(np.asarray(part.batch.modalities[name].values)[mask])
        lengths.append(mask.sum(1))
    return np.concatenate(values), np.concatenate(lengths)


def _write_csv(path: Path, columns: Mapping[str, np.ndarray], lists: Mapping[str, Any]) -> None:
    del lists  # in files of their own
    texts = [_texts(column) for column in columns.values()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*texts, strict=True))


def _texts(column: np.ndarray) -> list[str]:
    """Returns the cells, numbers in the fewest digits that read back to the same."""
    if column.dtype.kind == "U":
        return column.tolist()
    values, inverse = np.unique(column, return_inverse=True)
    texts = ["" if np.isnan(v) else str(v).removesuffix(".0") for v in values]
    return [texts[i] for i in inverse.ravel()]


def _write_parquet(path: Path, columns: Mapping[str, np.ndarray], lists: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
    for name, (values, lengths) in lists.items():
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        flat = pa.array(np.ascontiguousarray(values).ravel())
        arrays[name] = pa.ListArray.from_arrays(
            offsets,
            pa.FixedSizeListArray.from_arrays(flat, values.shape[1]),
            mask=pa.array(lengths == 0),
        )
    pq.write_table(pa.table(arrays), path)
