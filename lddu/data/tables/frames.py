"""`from_frame`: a data frame in memory to a `Dataset`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lddu.data.dataset import Dataset
from lddu.data.tables.building import Options, build
from lddu.data.tables.declaration import declare
from lddu.data.tables.table import Arrays, Table


def from_frame(
    frame: Any,
    declaration: Mapping[str, Any] | None = None,
    *,
    steps: int | Mapping[str, int] | None = None,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    name: str = "frame",
) -> Dataset:
    """Reads a data set from a data frame, in the form that `load_table` describes.

    Args:
      frame: A pandas, Polars, PyArrow or other frame with the Arrow interface
        (`__arrow_c_stream__`), or a mapping from column names to lists or arrays. Features are
        columns whose cells are arrays (T, D), lists of lists, or numbers.
      declaration: The content of `dataset.json`; what it leaves open is detected.
      steps: Longest sequence wanted, for all modalities or by name; further steps are cut and
        counted on the card. None keeps all.
      shares: Shares of train, valid and test, for a frame without the column `split`.
      seed: Seed of that division.
      name: What errors and the card call the frame.

    Returns:
      The three splits, with a card.

    Raises:
      TypeError: If the frame is of an unknown kind.
      ValueError: If anything does not fit, naming row and column.

    Example:
      >>> import numpy as np
      >>> from lddu.data import from_frame
      >>> frame = {
      ...     "id": ["a", "b", "c"],
      ...     "split": ["train", "valid", "test"],
      ...     "joy": [1, 0, 0.5],
      ...     "audio": [np.ones((2, 3)), None, np.ones((4, 3))],
      ... }
      >>> data = from_frame(frame)
      >>> data.labels, data.shapes(), data.test.soft.tolist()
      (('joy',), {'audio': (3, 4)}, [[0.5]])
    """
    table = frame_table(frame, name)
    return build(table, declare(declaration or {}), Options(steps, shares, seed))


def frame_table(frame: Any, name: str) -> Table:
    """Returns the columns of a frame.

    Raises:
      TypeError: If the frame is of an unknown kind.
      ValueError: If columns differ in length, or a cell is of no known type, naming the column.
    """
    import pyarrow as pa

    if isinstance(frame, Mapping) or hasattr(frame, "iloc"):
        # Column by column, because Arrow has no type for cells that are arrays (T, D).
        columns = {str(key): _column(frame[key], f"{name}, column {key!r}") for key in frame}
    elif hasattr(frame, "__arrow_c_stream__"):
        table = pa.table(frame)
        columns = dict(zip(table.column_names, table.columns, strict=True))
    else:
        raise TypeError(
            f"a {type(frame).__name__}, expected a data frame with the Arrow interface or a mapping"
        )
    lengths = {key: len(column) for key, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{name}: columns differ in length: {lengths}")
    return Table(name, columns, next(iter(lengths.values())))


def _column(cells: Any, where: str) -> Any:
    """Returns a column as `Table` holds it."""
    import pyarrow as pa

    if isinstance(cells, pa.ChunkedArray):
        return cells
    if isinstance(cells, pa.Array):
        return pa.chunked_array([cells])
    kind = getattr(cells, "dtype", None)
    if isinstance(cells, np.ndarray) and cells.ndim > 1:
        return Arrays(cells)
    if kind is None or kind == np.dtype(object):
        arrays = [cell for cell in cells if isinstance(cell, np.ndarray)]
        cells = [cell if _is_there(cell) else None for cell in cells]
        if any(array.ndim != 1 or array.dtype.kind not in "US" for array in arrays):
            return Arrays(cells)
    try:
        array = pa.array(cells, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error!s:.200}") from None
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _is_there(cell: Any) -> bool:
    """Tells whether a cell is filled: pandas writes None, NaN or NA where it is not."""
    if isinstance(cell, np.ndarray | list | tuple):
        return True
    return not (cell is None or type(cell).__name__ == "NAType" or cell != cell)
