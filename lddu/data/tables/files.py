"""Files that a table names: inside of its folder, and read as plain numbers only."""

import functools
import hashlib
import io
import math
import os
import stat
from pathlib import Path

import numpy as np

from lddu.data.card import Source

_MAGIC = b"\x93NUMPY"
_HEADERS = {
    1: (2, np.lib.format.read_array_header_1_0),
    2: (4, np.lib.format.read_array_header_2_0),
}


class Folder:
    """The folder of a table, which the files that it names must not leave."""

    def __init__(self, path: Path):
        self._root = os.path.realpath(path)
        self._known: dict[str, bool] = {}

    def file(self, name: str) -> Path:
        """Returns the path of a file.

        Args:
          name: Path relative to the folder.

        Raises:
          ValueError: If the file lies outside of the folder, also by way of a link, does not exist
            or is not a regular file.
        """
        path = os.path.join(self._root, name)
        parent = os.path.dirname(path)
        try:
            if parent not in self._known:
                self._known[parent] = self._is_inside(os.path.realpath(parent))
            inside = self._known[parent]
            if inside and (os.path.basename(path) == ".." or os.path.islink(path)):
                inside = self._is_inside(os.path.realpath(path))
            if not inside:
                raise ValueError(f"file {name!r:.200} lies outside of the table's folder")
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise ValueError(f"{name!r:.200} is not a file")
        except OSError:
            raise ValueError(f"file {name!r:.200} does not exist") from None
        return Path(path)

    def _is_inside(self, path: str) -> bool:
        return path == self._root or path.startswith(os.path.join(self._root, ""))


class Reader:
    """Reads `.npy` files, and describes all those that it has read as one source of a card."""

    def __init__(self, folder: Folder):
        self._folder, self._digest = folder, hashlib.sha256()
        self._bytes = self._files = 0

    def read(self, name: str) -> np.ndarray:
        """Returns the array of a file; ValueError names the file if it is not plain numbers."""
        try:
            data = self._folder.file(name).read_bytes()
        except OSError as error:
            raise ValueError(f"file {name!r:.200}: {error.strerror}") from None
        self._digest.update(data)
        self._bytes += len(data)
        self._files += 1
        try:
            return decode(data)
        except ValueError as error:
            raise ValueError(f"file {name!r:.200}: {error}") from None

    def source(self, column: str) -> Source:
        """Returns the description: the checksum is that of the contents one after the other."""
        name = f"{column} ({self._files:,} .npy files)"
        return Source(name, self._bytes, self._digest.hexdigest())


def decode(data: bytes) -> np.ndarray:
    """Returns the array in the content of a `.npy` file; Python objects are refused.

    Args:
      data: The whole content.

    Returns:
      The array, read-only; of numbers or texts.

    Raises:
      ValueError: If the content is not such an array, or longer or shorter than it says.
    """
    if len(data) < 10 or not data.startswith(_MAGIC) or data[6] not in _HEADERS:
        raise ValueError("not a .npy array of version 1 or 2")
    size, _ = _HEADERS[data[6]]
    start = 8 + size + int.from_bytes(data[8 : 8 + size], "little")
    shape, fortran, dtype = _header(data[6], data[8:start])
    if dtype.hasobject:
        raise ValueError("holds Python objects (a pickle), which are never read; save numbers")
    if dtype.kind not in "fiubUS":
        raise ValueError(f"values of type {dtype}, expected numbers")
    count = math.prod(shape)
    if count * dtype.itemsize != len(data) - start:
        raise ValueError(
            f"{len(data) - start} bytes of values, but shape {shape} of {dtype} takes "
            f"{count * dtype.itemsize}; the file is damaged"
        )
    flat = np.frombuffer(data, dtype, count, start) if count else np.zeros(0, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


@functools.lru_cache(maxsize=4096)  # many files have the same shape
def _header(version: int, header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        shape, fortran, dtype = _HEADERS[version][1](io.BytesIO(header))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"damaged header of a .npy array: {error!s:.200}") from None
    if any(n < 0 for n in shape):
        raise ValueError(f"impossible shape {shape} of a .npy array")
    return shape, fortran, dtype
