"""`split_file`: a table on disk again, with a column that divides it into splits."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lddu.data.dataset import SPLITS
from lddu.data.tables.declaration import FILE, read_declaration
from lddu.data.tables.detection import complete
from lddu.data.tables.labels import read_labels
from lddu.data.tables.loading import read_table
from lddu.data.tables.reserved import groups_of, ids_of
from lddu.data.tables.splitting import split
from lddu.files import atomic_path


def split_file(
    path: Path, out: Path, shares: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, int]:
    """Writes a CSV or Parquet table again with a column `split`.

    Args:
      path: The table, in the form of `load_table` but without splits.
      out: The table to write, with the same suffix and in the same folder, so that the names of
        files in it stay right.
      shares: Shares of train, valid and test.
      seed: Seed of the division; see `lddu.data.split`.

    Returns:
      Split -> number of rows.

    Raises:
      ValueError: If the table has splits already, does not fit, or `out` is elsewhere.
    """
    if path.suffix != out.suffix or path.absolute().parent != out.absolute().parent:
        raise ValueError(
            f"{out} must be a {path.suffix} file in the folder of {path}, because the table names "
            "files in it"
        )
    declared = read_declaration(path.parent / FILE)
    table = read_table(path)
    if (column := declared.split or "split") in table.columns:
        raise ValueError(f"{path} has splits in its column {column!r}")
    ids_of(table, declared.id or "id")
    declared = complete(table, declared)
    _, soft, _ = read_labels(table, declared)
    splits = split(soft, groups_of(table, declared.group), shares=shares, seed=seed)
    with atomic_path(out) as partial:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            read = pq.read_table(path)
            pq.write_table(read.append_column(column, [splits.tolist()]), partial)
        else:
            _write_csv(path, partial, column, splits)
    return {name: int((splits == name).sum()) for name in SPLITS}


def _write_csv(path: Path, out: Path, column: str, splits: np.ndarray) -> None:
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as source, out.open("w", newline="") as target:
        rows = (row for row in csv.reader(source, delimiter=delimiter) if row)
        writer = csv.writer(target, delimiter=delimiter)
        writer.writerow([*next(rows), column])
        writer.writerows([*row, part] for row, part in zip(rows, splits, strict=True))
