"""Files of NumPy arrays, read only as far as their headers and sizes fit."""

import contextlib
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lddu.files.documents import REMEDY

_KINDS = "biufU"  # booleans, numbers and text
_LARGEST = 1 << 33  # bytes of the arrays of a compressed file


class Spec(NamedTuple):
    """Shape and type of an array.

    Attributes:
      shape: Its shape.
      dtype: Its type.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Size of its content in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


Check = Callable[[Mapping[str, Spec]], None]
"""Raises ValueError unless the arrays of a file are those that it must hold."""


def read_npz(path: Path, check: Check) -> dict[str, np.ndarray]:
    """Reads the arrays of an `.npz` file.

    Args:
      path: The file.
      check: Called with name -> `Spec` before the content of any array is read.

    Returns:
      Name -> array of booleans, numbers or text.

    Raises:
      OSError: If the file cannot be opened, for instance because it does not exist.
      ValueError: If it is damaged, holds other objects than arrays, declares more bytes than it
        can hold, or `check` raises it; names the file.
    """
    with _opened(path) as file, zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise ValueError("it holds an array twice")
        specs = {name: _spec_of(archive, name, info) for name, info in members.items()}
        size = sum(spec.nbytes for spec in specs.values())
        if size > _LARGEST and size > path.stat().st_size:
            raise ValueError(f"its arrays would take {size} bytes")
        check(specs)
        arrays = {}
        for name, info in members.items():
            with _naming(name), archive.open(info) as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
        return arrays


def read_npy(path: Path, mapped: bool = False) -> np.ndarray:
    """Reads the array of an `.npy` file.

    Args:
      path: The file.
      mapped: Whether to map the file, read-only, rather than to read it.

    Returns:
      The array, of booleans, numbers or text.

    Raises:
      OSError: If the file cannot be opened, for instance because it does not exist.
      ValueError: If it is damaged, holds anything else, or has another size than its header says;
        names the file.
    """
    with _opened(path) as file:
        spec = _header(file)
        size = path.stat().st_size - file.tell()
        if size != spec.nbytes:
            raise ValueError(f"it holds {size} bytes of an array {spec}, which has {spec.nbytes}")
        if mapped:
            return np.lib.format.open_memmap(path, "r")
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file; whatever reading it raises becomes a ValueError that names it."""
    with path.open("rb") as file:
        try:
            yield file
        except Exception as error:  # zipfile, zlib and NumPy raise many kinds
            why = (
                f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            )
            raise ValueError(f"{path} is damaged: {why}. {REMEDY}") from error


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turns whatever reading an array raises into a ValueError that names it."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{name!r} cannot be read: {error}") from error


def _spec_of(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Spec:
    """Returns what the header of a member says, if its size is that of the member."""
    with _naming(name), archive.open(info) as member:
        spec = _header(member)
        size = info.file_size - member.tell()
        if size != spec.nbytes:
            raise ValueError(f"{size} bytes of an array {spec}, which has {spec.nbytes}")
    return spec


def _header(file: Any) -> Spec:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"it is in version {version} of the format, expected 1.0 or 2.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # about headers that Python 2 wrote
        shape, _, dtype = readers[version](file)
    if dtype.kind not in _KINDS or any(not 0 <= size < 1 << 48 for size in shape):
        raise ValueError(f"it is {dtype} {shape}, expected booleans, numbers or text")
    return Spec(shape, dtype)
