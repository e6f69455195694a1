"""Named arrays of other libraries: their values, the names along their axes, and the way back.

Objects of pandas, polars and xarray are recognised by their attributes. None of these libraries is
imported here.
"""

import functools
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

Library = Literal["pandas", "polars", "xarray"]
Names = tuple[Hashable, ...]


class Frame(NamedTuple):
    """A named array of another library.

    Attributes:
      source: The object itself.
      library: The library whose protocol it follows.
      values: Its values.
      names: Names along each axis; None where there are only default ones.
      dims: Names of the axes themselves, where the library has such and they are not default ones.
    """

    source: Any
    library: Library
    values: np.ndarray
    names: tuple[Names | None, ...]
    dims: tuple[str, ...] | None = None


@functools.lru_cache(maxsize=256)
def library(kind: type) -> Library | None:
    """Returns the library whose protocol a type follows; None if its objects carry no names."""
    if hasattr(kind, "iloc") and hasattr(kind, "to_numpy"):
        return "pandas"
    if hasattr(kind, "dims") and hasattr(kind, "coords") and hasattr(kind, "ndim"):
        return "xarray"
    if hasattr(kind, "columns") and hasattr(kind, "to_series"):
        return "polars"
    return None


def read(name: str, source: Any, numeric: bool = True) -> Frame:
    """Returns an object of one of the libraries as a `Frame`.

    Args:
      name: What the object is called in error messages.
      source: A pandas DataFrame or Series, a polars DataFrame or an xarray DataArray.
      numeric: Whether its values are numbers, which are read as float64 with NaN where missing.

    Returns:
      The `Frame`.

    Raises:
      ValueError: If values are not numbers.
    """
    kind = library(type(source))
    if kind == "pandas":
        axes = (source.index, source.columns) if source.ndim == 2 else (source.index,)
        names, dims = tuple(map(_index_names, axes)), None
    elif kind == "polars":
        columns = tuple(source.columns)
        default = columns == tuple(f"column_{i}" for i in range(len(columns)))
        names, dims = (None, None if default else columns), None
    else:
        names = tuple(_coordinate_names(source, dim) for dim in source.dims)
        dims = tuple(source.dims)
        dims = None if dims == tuple(f"dim_{i}" for i in range(len(dims))) else dims
    return Frame(
        source, kind, _numbers(name, source, kind) if numeric else _raw(source, kind), names, dims
    )


def rebuild(frame: Frame, axes: Sequence[int], values: np.ndarray) -> Any:
    """Returns values as an object of the same library, with the names of some axes of the frame.

    Args:
      frame: The frame whose names are taken.
      axes: Axes of the frame that the values have, all of them or one, ascending.
      values: Array with these axes.

    Returns:
      For pandas a DataFrame, or a Series with one axis; for polars a DataFrame (of one row, if the
      axis is that of the columns), or a Series; for xarray a DataArray.
    """
    source, whole = frame.source, len(axes) == frame.values.ndim
    if frame.library == "xarray":
        left_out = {dim: 0 for i, dim in enumerate(source.dims) if i not in axes}
        return source.isel(left_out, drop=True).copy(data=values)
    if frame.library == "polars":
        if axes == (0,):
            return type(source.to_series(0))(values)
        return type(source)(np.atleast_2d(values), schema=source.columns, orient="row")
    if whole:
        columns = {"columns": source.columns} if source.ndim == 2 else {}
        return type(source)(values, index=source.index, **columns)
    part = source.iloc[0] if axes == (1,) else source.iloc[:, 0]
    return type(part)(values, index=part.index)


def _index_names(index: Any) -> Names | None:
    """Returns the names of a pandas axis; None for 0, 1, 2, ... as pandas sets them by default."""
    if type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1:
        return None
    return tuple(index.tolist())


def _coordinate_names(source: Any, dim: str) -> Names | None:
    """Returns the coordinates along a dimension; None if it has none, or 0, 1, 2, ..."""
    if dim not in source.coords:
        return None
    names = tuple(np.asarray(source.coords[dim].values).tolist())
    return None if names == tuple(range(len(names))) else names


def _raw(source: Any, kind: Library) -> np.ndarray:
    return np.asarray(source.values if kind == "xarray" else source.to_numpy())


def _numbers(name: str, source: Any, kind: Library) -> np.ndarray:
    """Returns values as float64, NaN where one is missing."""
    try:
        if kind == "pandas":
            return source.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(_raw(source, kind), np.float64)
    except (TypeError, ValueError) as error:
        columns = list(source.columns) if hasattr(source, "columns") else ""
        raise ValueError(
            f"{name} must be numeric but has columns {columns} of which some are not ({error}); "
            "select the columns of the labels"
            if columns
            else f"{name} must be numeric: {error}"
        ) from error
