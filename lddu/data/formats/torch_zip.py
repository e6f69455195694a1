"""The zip format of `torch.save`: <name>/data.pkl, <name>/data/<key>, <name>/byteorder."""

import io
import struct
import sys
import zipfile
from typing import Any, BinaryIO

import numpy as np

from lddu.data.formats.calls import PLAIN_CALLS
from lddu.data.formats.opcodes import unpickle
from lddu.data.formats.tensors import Storages, tensor_calls

_MAIN = "data.pkl"
# Deflate never compresses better, so a larger claim is false.
_MOST_INFLATION = 1032


def load_zip(file: BinaryIO, content: np.ndarray) -> Any:
    """Reads the object of a file.

    Args:
      file: The file.
      content: (bytes,) uint8, the same file; storages are views of it.

    Raises:
      Exception: One of `objects.DAMAGE` or of those of `zipfile`, if it is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        entries = _entries(archive)
        roots = [name.removesuffix(_MAIN) for name in entries if name.endswith("/" + _MAIN)]
        if len(roots) != 1:
            raise ValueError(f"expected one entry <name>/{_MAIN} in the zip, got {len(roots)}")
        root = roots[0]
        order = entries.get(root + "byteorder")
        swap = order is not None and _is_other(_inflate(archive, order, content))

        def find(key: str, dtype: np.dtype, count: int) -> np.ndarray:
            name = f"{root}data/{key}"
            if name not in entries:
                raise ValueError(f"storage {name} is missing")
            return _entry_bytes(archive, entries[name], content)

        main = entries[root + _MAIN]
        with io.BufferedReader(archive.open(main), 1 << 20) as stream:
            calls = PLAIN_CALLS | tensor_calls(swap)
            return unpickle(stream, _limit(main, content), calls, Storages(find, swap))


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        # Readers differ in which of two entries they take, so that a check could miss one of them.
        if entry.filename in entries:
            raise ValueError(f"the zip holds {entry.filename} twice")
        entries[entry.filename] = entry
    return entries


def _is_other(order: bytes) -> bool:
    if order not in (b"little", b"big"):
        raise ValueError(f"unknown byte order {order!r:.20}")
    return order.decode() != sys.byteorder


def _entry_bytes(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: np.ndarray
) -> np.ndarray:
    """Returns an entry as (bytes,) uint8, in place if it is stored uncompressed."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        return np.frombuffer(_inflate(archive, entry, content), np.uint8)
    at = entry.header_offset
    header = content[at : at + 30].tobytes() if at >= 0 else b""
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise ValueError(f"{entry.filename} is not where the zip says")
    # Only this header has the lengths of the entry's name and extra field, which precede the data.
    at += 30 + sum(struct.unpack("<HH", header[26:]))
    data = content[at : at + entry.file_size]
    if data.size < entry.file_size:
        raise EOFError(f"{entry.filename} ends early")
    return data


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: np.ndarray) -> bytes:
    with archive.open(entry) as stream:
        # Reading one byte more than claimed lets `zipfile` reach the end and compare the checksum.
        return stream.read(_limit(entry, content) + 1)


def _limit(entry: zipfile.ZipInfo, content: np.ndarray) -> int:
    return min(entry.file_size, content.size * _MOST_INFLATION)
