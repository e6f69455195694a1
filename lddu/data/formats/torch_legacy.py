"""The format of `torch.save` before PyTorch 1.6: pickles in a row, then the storages.

The pickles are a magic number, a protocol number, facts about the writer, the object, and the keys
of the storages; then for each key its number of elements (8 bytes) and its bytes, little-endian.
"""

import sys
from typing import Any, BinaryIO

import numpy as np

from lddu.data.formats.calls import PLAIN_CALLS
from lddu.data.formats.opcodes import unpickle
from lddu.data.formats.tensors import Storages, tensor_calls

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_SWAP = sys.byteorder == "big"


def is_legacy(start: bytes) -> bool:
    """Tells whether a file that starts with these bytes is in this format."""
    return _MAGIC.to_bytes(10, "little") in start or b"%d" % _MAGIC in start


def load_legacy(file: BinaryIO, content: np.ndarray) -> Any:
    """Reads the object of a file.

    Args:
      file: The file, at its start.
      content: (bytes,) uint8, the same file; storages are views of it.

    Raises:
      Exception: One of `objects.DAMAGE`, if it is damaged.
    """
    size = content.size

    def plain() -> Any:
        return unpickle(file, size, PLAIN_CALLS)

    magic, protocol, _ = plain(), plain(), plain()
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise ValueError(f"magic number {magic!r:.40}, protocol {protocol!r:.40} are not known")
    at = file.tell()
    calls = PLAIN_CALLS | tensor_calls(_SWAP)

    # The storages come last and are measured in elements, so the object is read twice: first to
    # learn the type and size of each storage, over memory that is claimed and never touched.
    claims: dict[str, tuple[np.dtype, int]] = {}
    free = size

    def claim(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        nonlocal free
        free -= count * dtype.itemsize
        if key in claims or free < 0:
            raise ValueError(f"storage {key} has two types, or more elements than the file")
        claims[key] = dtype, count
        return np.empty(count * dtype.itemsize, np.uint8)

    unpickle(file, size, calls, Storages(claim))
    storages = dict(_storages(file, content, plain(), claims))

    def find(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if key not in storages:
            raise ValueError(f"storage {key} is missing")
        return storages[key]

    file.seek(at)
    return unpickle(file, size, calls, Storages(find, _SWAP))


def _storages(file: BinaryIO, content: np.ndarray, keys: Any, claims: dict):
    if type(keys) is not list:
        raise ValueError(f"the keys of the storages are a {type(keys).__name__}")
    at = file.tell()
    for key in map(str, keys):
        if key not in claims:
            raise ValueError(f"storage {key} belongs to no tensor")
        dtype, count = claims[key]
        header = content[at : at + 8].tobytes()
        end = at + 8 + count * dtype.itemsize
        if end > content.size:
            raise EOFError(f"storage {key} ends early")
        if int.from_bytes(header, "little") != count:
            raise ValueError(f"storage {key} has not the {count} elements its tensors expect")
        yield key, content[at + 8 : end]
        at = end
