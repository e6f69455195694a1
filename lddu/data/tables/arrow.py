"""Arrow columns as texts, numbers and lists of lists.

Only these functions and the reader of Parquet files import pyarrow, so that CSV files are read
without it.
"""

from typing import Any

import numpy as np


def texts(column: Any) -> list[str] | None:
    """Returns the cells of a `ChunkedArray` as texts, "" for null; None if they are not such."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return [""] * len(column)
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return None
    cells = column.to_pylist()
    if _is_text(kind):
        return ["" if cell is None else cell for cell in cells]
    return ["" if cell is None else str(cell) for cell in cells]


def numbers(column: Any) -> np.ndarray | None:
    """Returns a numeric `ChunkedArray` as float64, NaN for null; None if it is of another type."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not _is_number(kind):
        return None
    return column.cast(pa.float64(), safe=False).to_numpy()


def is_numeric_list(column: Any) -> bool:
    """Tells whether a column is a `ChunkedArray` of lists of numbers, at any depth."""
    kind = inner = getattr(column, "type", None)
    while (inside := _inside(inner)) is not None:
        inner = inside
    return inner is not kind and _is_number(inner)


def is_list(column: Any) -> bool:
    """Tells whether a column is a `ChunkedArray` of lists of anything."""
    return _inside(getattr(column, "type", None)) is not None


def unnest(chunk: Any) -> tuple[Any, np.ndarray]:
    """Opens one level of lists.

    Args:
      chunk: An Arrow array of lists, n of them.

    Returns:
      The Arrow array of all items of all lists, and the (n,) lengths of the lists, -1 for null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    lengths = pc.fill_null(pc.cast(pc.list_value_length(chunk), pa.int64()), -1)
    return chunk.flatten(), lengths.to_numpy(zero_copy_only=False)


def float32(array: Any) -> np.ndarray | None:
    """Returns an Arrow array as float32, NaN for null; None if it holds no numbers."""
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if not _is_number(array.type):
        return np.zeros(0, np.float32) if pa.types.is_null(array.type) and not len(array) else None
    return array.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _inside(kind: Any) -> Any:
    """Returns the type of the items of a list type; None for any other type."""
    if kind is None:
        return None
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    lists = (
        *(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
        *(pa.types.is_list_view, pa.types.is_large_list_view),
    )
    return kind.value_type if any(test(kind) for test in lists) else None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return kind is not None and any(test(kind) for test in tests)
