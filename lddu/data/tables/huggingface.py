"""`from_huggingface`: a data set of the library `datasets` to a `Dataset`.

The library itself is not imported: its objects are used through their columns and formats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lddu.data.dataset import Dataset
from lddu.data.tables.building import Options, build
from lddu.data.tables.declaration import declare
from lddu.data.tables.detection import NAMED
from lddu.data.tables.frames import frame_table
from lddu.data.tables.table import Arrays, Table


def from_huggingface(
    data: Any,
    declaration: Mapping[str, Any] | None = None,
    *,
    steps: int | Mapping[str, int] | None = None,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    name: str = "Hugging Face data set",
) -> Dataset:
    """Reads a data set from a `datasets.Dataset`, or from a `DatasetDict` of splits.

    Columns are as `load_table` describes them; sequences are list columns. The keys of a
    `DatasetDict` are the splits; rows without a column `id` are numbered, "train-0". A column of
    class labels in lists names the labels, as its features say.

    Args:
      data: A `Dataset` with a column of splits, or a mapping from splits to such. For one that is
        streamed, see `lddu.data.stream`.
      declaration: The content of `dataset.json`; what it leaves open is detected.
      steps: Longest sequence wanted, for all modalities or by name; further steps are cut and
        counted on the card. None keeps all.
      shares: Shares of train, valid and test, for data without splits.
      seed: Seed of that division.
      name: What errors and the card call the data set.

    Returns:
      The three splits, with a card.

    Raises:
      TypeError: If the data have no length, because they are streamed.
      ValueError: If anything does not fit, naming row and column.
    """
    declaration = dict(declaration or {})
    parts = dict(data) if isinstance(data, Mapping) else {None: data}
    tables = {
        split: _table(part, f"{name}, {split}" if split else name) for split, part in parts.items()
    }
    column = {key: declaration.get(key) or key for key in ("id", "split")}
    for split, table in tables.items():
        if split is not None:
            if column["split"] in table.columns:
                raise ValueError(f"{table.name} has a column {column['split']!r} of its own")
            table.columns[column["split"]] = _texts([split] * table.rows)
        if "id" not in declaration and "id" not in table.columns:
            table.columns["id"] = _texts([f"{split or 'row'}-{i}" for i in range(table.rows)])
    declaration = _with_names(declaration, next(iter(parts.values())))
    return build(_join(tables, name), declare(declaration), Options(steps, shares, seed))


def _table(part: Any, where: str) -> Table:
    if not hasattr(part, "__len__"):
        raise TypeError(
            f"{where} is a {type(part).__name__} without a length; read it with lddu.data.stream"
        )
    if hasattr(part, "with_format"):
        # Arrow is how the library keeps it; rows that were selected or shuffled are gathered.
        frame = part.with_format("arrow")[:]
    else:
        frame = {key: part[key] for key in part.column_names}
    return frame_table(frame, where)


def _texts(cells: list[str]) -> Any:
    import pyarrow as pa

    return pa.chunked_array([pa.array(cells, pa.string())])


def _with_names(declaration: dict[str, Any], part: Any) -> dict[str, Any]:
    """Adds the names of the labels where the features of the data set know them."""
    labels = declaration.get("labels", {"column": NAMED})
    features = getattr(part, "features", None) or {}
    if not isinstance(labels, Mapping) or labels.get("names") is not None:
        return declaration
    names = getattr(getattr(features.get(labels.get("column")), "feature", None), "names", None)
    return declaration if names is None else {**declaration, "labels": {**labels, "names": names}}


def _join(tables: Mapping[str | None, Table], name: str) -> Table:
    """Returns the rows of all splits in one table."""
    import pyarrow as pa

    first, *others = tables.values()
    columns = {}
    for key in first.columns:
        parts = [first.columns[key], *(table.column(key) for table in others)]
        if any(isinstance(part, Arrays) for part in parts):
            columns[key] = Arrays(cell for part in parts for cell in part)
            continue
        try:
            columns[key] = pa.chunked_array([c for part in parts for c in part.chunks])
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(f"{name}, column {key!r}: splits differ: {error!s:.200}") from None
    return Table(name, columns, sum(table.rows for table in tables.values()))
