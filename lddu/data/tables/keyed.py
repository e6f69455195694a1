"""Files beside a table with the arrays of all rows: `.npz`, HDF5 and safetensors.

Either one array (T, D) per row under its id, or two arrays for all rows: `values` (S, D), the steps
of one row after those of another, and `lengths` (N,), the number of steps of each row. A third one,
`ids` (N,), gives their order; without it they are in the order of the table.
"""

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.card import Findings
from lddu.data.tables.files import decode
from lddu.data.tables.ragged import Ragged, dense, gather

_INSTALL = "pip install 'lddu[data]'"
_PACKED = {"values", "lengths"}

Get = Callable[[str], np.ndarray | None]
"""From a key to its array; None where the file has no such key."""


def read_keyed(
    path: Path,
    ids: Sequence[str],
    where: Callable[[int], str],
    features: int | None,
    findings: Findings,
) -> Ragged:
    """Reads the arrays of all rows from one file.

    Args:
      path: The file; its suffix is one of `SUFFIXES`.
      ids: (N,) ids of the rows; a row that the file lacks has no such modality.
      where: From the number of a row to its name in errors.
      features: Declared width, or None.
      findings: Collects a warning if the file has arrays of rows that are not in the table.

    Returns:
      The sequences.

    Raises:
      ImportError: If the package for this file is not installed.
      ValueError: If the file cannot be read, has none of the ids, or an array does not fit.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path.name}: unknown suffix; known are {', '.join(SUFFIXES)}")
    with SUFFIXES[path.suffix.lower()](path) as (keys, get):
        if _PACKED <= keys <= {*_PACKED, "ids"}:
            return _packed(path.name, ids, get, features, findings)
        known = set(ids)
        if not known & keys and get(ids[0]) is None:
            some = ", ".join(repr(key) for key in sorted(keys)[:3]) or "none at all"
            raise ValueError(
                f"{path.name}: none of its arrays is named as an id of the table, such as "
                f"{ids[0]!r}; it has {some}"
            )
        _left_over(path.name, len(keys - known), findings)
        return gather(map(get, ids), lambda row: f"{where(row)}: {path.name}", features)


def _packed(
    name: str, ids: Sequence[str], get: Get, features: int | None, findings: Findings
) -> Ragged:
    values, lengths, keys = get("values"), get("lengths"), get("ids")
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name}: 'values' are of type {values.dtype}, expected numbers")
    if values.ndim != 2 or not values.shape[1] or values.shape[1] != (features or values.shape[1]):
        raise ValueError(
            f"{name}: 'values' have shape {values.shape}, expected (all steps, "
            f"{features or 'features'})"
        )
    count = len(ids) if keys is None else len(keys)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: 'lengths' are {lengths.dtype} {lengths.shape}, expected ({count},) integers"
        )
    lengths = lengths.astype(np.int64)
    # Summed as Python's integers, since forged lengths could overflow to the right sum.
    if count and (lengths.min() < 0 or sum(lengths.tolist()) != len(values)):
        raise ValueError(f"{name}: 'lengths' do not add up to the {len(values)} steps of 'values'")
    whole = dense(values, lengths)
    if keys is None:
        return whole
    place = {str(key): i for i, key in enumerate(keys.tolist())}
    if len(place) < count:
        raise ValueError(f"{name}: an id occurs twice in 'ids'")
    found = np.array([place.get(key, -1) for key in ids], np.int64)
    if (found < 0).all():
        raise ValueError(f"{name}: none of its 'ids' is in the table")
    _left_over(name, count - int((found >= 0).sum()), findings)
    return Ragged(
        values,
        np.where(found < 0, 0, whole.starts[found]),
        np.where(found < 0, 0, whole.lengths[found]),
    )


def _left_over(name: str, count: int, findings: Findings) -> None:
    if count:
        findings.warn(f"{name}: {count:,} arrays of rows that are not in the table, not used")


@contextlib.contextmanager
def _npz(path: Path) -> Iterator[tuple[set[str], Get]]:
    try:
        with zipfile.ZipFile(path) as file:
            members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            if len(members) < len(file.infolist()):
                raise ValueError(f"{path.name}: two arrays have the same name")

            def get(key: str) -> np.ndarray | None:
                try:
                    return decode(file.read(members[key])) if key in members else None
                except ValueError as error:
                    raise ValueError(f"{path.name}: array {key!r}: {error}") from None

            yield set(members), get
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise ValueError(f"{path.name} is not a readable .npz file: {error}") from None


@contextlib.contextmanager
def _hdf5(path: Path) -> Iterator[tuple[set[str], Get]]:
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"{path.name} is an HDF5 file: {_INSTALL}") from error
    try:
        with h5py.File(path, "r") as file:
            yield set(file), lambda key: _dataset(h5py, file, key, path.name)
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path.name} is not a readable HDF5 file: {error}") from None


def _dataset(h5py: Any, file: Any, key: str, name: str) -> np.ndarray | None:
    """Returns an array of an HDF5 file; one that is kept in another file is refused.

    Uses the low-level interface, since the high-level one is slow for many small arrays.
    """
    node = file.id
    for part in key.split("/"):
        at = part.encode()
        if not isinstance(node, h5py.h5g.GroupID) or not part or not node.links.exists(at):
            return None
        if node.links.get_info(at).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name}: {key!r} is a link, which is not followed")
        node = h5py.h5o.open(node, at)
    if not isinstance(node, h5py.h5d.DatasetID):
        raise ValueError(f"{name}: {key!r} is a group or a type, expected an array")
    made = node.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name}: array {key!r} is kept in another file, which is not read")
    dtype = node.dtype
    if dtype.kind not in "fiub":
        dataset = h5py.Dataset(node)
        return dataset.asstr()[...] if h5py.check_string_dtype(dtype) else dataset[...]
    array = np.zeros(node.shape, dtype)
    if array.size:
        node.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[tuple[set[str], Get]]:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(f"{path.name} is a safetensors file: {_INSTALL}") from error
    try:
        with safetensors.safe_open(path, framework="np") as file:
            keys = set(file.keys())
            yield keys, lambda key: file.get_tensor(key) if key in keys else None
    except (safetensors.SafetensorError, OSError, TypeError) as error:
        raise ValueError(f"{path.name} is not a readable safetensors file: {error}") from None


SUFFIXES = {".npz": _npz, ".h5": _hdf5, ".hdf5": _hdf5, ".safetensors": _safetensors}
