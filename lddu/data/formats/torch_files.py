"""Files of `torch.save`, read without PyTorch."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.formats.calls import PLAIN_CALLS
from lddu.data.formats.opcodes import unpickle
from lddu.data.formats.pickles import map_file, naming
from lddu.data.formats.tensors import tensor_calls
from lddu.data.formats.torch_legacy import is_legacy, load_legacy
from lddu.data.formats.torch_zip import load_zip

_BROKEN_ZIP = (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, OSError)


def load_torch(path: str | Path) -> Any:
    """Reads what `torch.save` wrote, with tensors and storages as NumPy arrays.

    It reads dense tensors of any device, parameters, state dicts, and everything that `load_pickle`
    reads, in any nesting. Tensors of bfloat16 and float8 have the dtypes of `ml_dtypes`. A
    `torch.Size` becomes a tuple; a device and a dtype become their names. Gradient settings, hooks
    and attributes of tensors and state dicts are dropped.

    Tensors are read-only. If the file holds them uncompressed, as `torch.save` writes them, they
    are mapped: pages are read on first use, checksums are not compared, and the file must not
    change. Tensors that share a storage in the file share it here too.

    Args:
      path: A file in the zip format (PyTorch 1.6 and later), in the older format, or a plain
        pickle, also one with tensors.

    Returns:
      The object in the file.

    Raises:
      FileNotFoundError: If the file does not exist.
      UnsafePickleError: If it refers to anything else, naming it, for example to the class of a
        whole model; nothing is imported or run.
      ValueError: If it is in none of these formats, or damaged.

    Example:
      >>> import pickle, tempfile
      >>> from pathlib import Path
      >>> from lddu.data.formats import load_torch
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "labels.pt"
      ...     _ = path.write_bytes(pickle.dumps({"tgt": [[2, 4, 3]]}))
      ...     load_torch(path)
      {'tgt': [[2, 4, 3]]}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with naming(path, *_BROKEN_ZIP), path.open("rb", buffering=1 << 20) as file:
        start = file.read(64)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            return load_zip(file, map_file(path))
        if is_legacy(start):
            return load_legacy(file, map_file(path))
        calls = {"torch.storage._load_from_bytes": _load_from_bytes}
        size = path.stat().st_size
        return unpickle(file, size, PLAIN_CALLS | tensor_calls() | calls)


def _load_from_bytes(data: Any) -> Any:
    """Reads a storage inside a plain pickle: the bytes of a whole file in the older format."""
    if type(data) is not bytes or not is_legacy(data[:64]):
        raise ValueError("a storage is in no known format")
    return load_legacy(io.BytesIO(data), np.frombuffer(data, np.uint8))
