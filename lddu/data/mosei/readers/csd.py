"""Computational sequences, the HDF5 files of the CMU SDK.

They hold `/<root>/data/<video>/features` (n, d), and `intervals` (n, 2) in seconds beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.mosei.labels import LABELS

LABEL_ROOT = "All Labels"
# Deflate never compresses better, so a larger claim is false.
_MOST_INFLATION = 1032
_BROKEN = (OSError, KeyError, RuntimeError, TypeError, AttributeError, IndexError, MemoryError)


class Sequence:
    """A computational sequence, with its intervals in memory and its features on disk.

    Attributes:
      path: The file.
      root: Name of the sequence.
      width: Number of features.
      intervals: Video -> (n, 2) float64, start and end in seconds.
    """

    def __init__(self, path: Path):
        """Reads the intervals of a file.

        Raises:
          ImportError: If h5py is not installed.
          ValueError: If the file is not a computational sequence, or damaged.
        """
        self.path = path
        with _opened(path) as file:
            self.root = _root(file, path)
            data = _group(_group(file, self.root, path), "data", path)
            self.intervals, widths = {}, {}
            for video in data:
                features = _table(data, video, "features", path)
                intervals = _table(data, video, "intervals", path)
                if intervals.shape != (features.shape[0], 2):
                    raise ValueError(
                        f"{path}: {video!r} has features {features.shape} but intervals "
                        f"{intervals.shape}, expected ({features.shape[0]}, 2)"
                    )
                self.intervals[video] = intervals[()].astype(np.float64)
                widths.setdefault(features.shape[1], video)
        if len(widths) != 1:
            listed = ", ".join(f"{video!r} {width}" for width, video in list(widths.items())[:5])
            raise ValueError(f"{path}: numbers of features differ between videos: {listed}")
        (self.width,) = widths
        self._last: tuple[str, np.ndarray] | None = None

    def features(self, video: str) -> np.ndarray:
        """Returns (n, d) features of a video; the last one is kept for its next segments."""
        if self._last is None or self._last[0] != video:
            with _opened(self.path) as file:
                group = file[self.root]["data"]
                self._last = video, _table(group, video, "features", self.path)[()]
        return self._last[1]


def peek(path: Path) -> tuple[str, int]:
    """Returns root and number of features, without reading the whole file.

    Raises:
      ImportError: If h5py is not installed.
      ValueError: If the file is not a computational sequence.
    """
    with _opened(path) as file:
        root = _root(file, path)
        data = _group(_group(file, root, path), "data", path)
        video = next(iter(data), None)
        if video is None:
            raise ValueError(f"{path}: no videos")
        return root, _table(data, video, "features", path).shape[1]


def read_labels(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Reads the labels file.

    Returns:
      Video -> (n, 7) float64, sentiment and six emotions of its segments; video -> (n, 2), their
      start and end in seconds.

    Raises:
      ImportError: If h5py is not installed.
      ValueError: If it is not the labels file.
    """
    sequence = Sequence(path)
    if sequence.root != LABEL_ROOT or sequence.width != 1 + len(LABELS):
        raise ValueError(
            f"{path}: root {sequence.root!r} with {sequence.width} columns, expected the labels, "
            f"{LABEL_ROOT!r} with sentiment and {len(LABELS)} emotions"
        )
    with _opened(path) as file:
        data = file[sequence.root]["data"]
        values = {v: _table(data, v, "features", path)[()] for v in sequence.intervals}
    return {video: table.astype(np.float64) for video, table in values.items()}, sequence.intervals


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens an HDF5 file; errors about damage name the file."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{path.name} is an HDF5 file: pip install 'lddu[data]'") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (*_BROKEN, ValueError) as error:
        if type(error) is ValueError and str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def _root(file: Any, path: Path) -> str:
    roots = list(file)
    if len(roots) != 1:
        raise ValueError(f"{path}: expected one root, got {', '.join(map(repr, roots[:5]))}")
    return roots[0]


def _group(parent: Any, name: str, path: Path) -> Any:
    return _child(parent, name, "Group", path)


def _table(data: Any, video: str, name: str, path: Path) -> Any:
    """Returns a data set (n, d) of numbers that the file itself holds."""
    table = _child(_group(data, video, path), name, "Dataset", path)
    where = f"{path}: {video!r} {name!r}"
    if len(table.shape) != 2 or table.dtype.kind not in "fiu":
        raise ValueError(f"{where}: {table.dtype} {table.shape}, expected numbers (rows, columns)")
    stored = table.id.get_storage_size()
    if table.external or table.is_virtual or table.nbytes > stored * _MOST_INFLATION:
        raise ValueError(f"{where}: {table.shape}, but the file holds {stored} bytes of it")
    return table


def _child(parent: Any, name: str, kind: str, path: Path) -> Any:
    """Returns a member of a group, without following links to other files or places."""
    import h5py

    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{path}: {parent.name!r} has no {name!r} of its own")
    child = parent[name]
    if not isinstance(child, getattr(h5py, kind)):
        raise ValueError(f"{path}: {name!r} is a {type(child).__name__}, expected a {kind}")
    return child
