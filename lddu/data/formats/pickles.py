"""Plain pickles, the format of most published feature files, read without running anything."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lddu.data.formats.calls import PLAIN_CALLS
from lddu.data.formats.objects import DAMAGE, MustRead, UnsafePickleError
from lddu.data.formats.opcodes import unpickle


def load_pickle(path: str | Path) -> Any:
    """Reads a pickle of plain data; the file need not be trusted.

    Plain data are NumPy arrays (of numbers, text, times, records, objects), dtypes and scalars;
    dict, list, tuple, set, frozenset, OrderedDict, defaultdict; str, bytes, bytearray, numbers,
    bool, None, slice, range. A mere reference to an allowed name is read as its name, a `str`.
    Strings of Python 2 are read as Latin-1. Large arrays are read-only maps of the file.

    Args:
      path: A file in pickle protocol 0 to 5. Data behind the first pickle are ignored.

    Returns:
      The object in the pickle.

    Raises:
      FileNotFoundError: If the file does not exist.
      UnsafePickleError: If it refers to anything else, naming it; nothing is imported or run.
      ValueError: If it is not a pickle, or damaged.

    Example:
      >>> import pickle, tempfile
      >>> from pathlib import Path
      >>> from lddu.data.formats import load_pickle
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "features.pkl"
      ...     _ = path.write_bytes(pickle.dumps({"train": [1, 2]}))
      ...     load_pickle(path)
      {'train': [1, 2]}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with naming(path), path.open("rb", buffering=1 << 20) as file:
        size = path.stat().st_size
        try:
            return unpickle(file, size, PLAIN_CALLS, mapped=map_file(path))
        except MustRead:
            file.seek(0)
            return unpickle(file, size, PLAIN_CALLS)


def map_file(path: Path) -> np.ndarray:
    """Maps a whole file, empty or not, as read-only (bytes,) uint8."""
    if not path.stat().st_size:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))


@contextmanager
def naming(path: Path, *damage: type[Exception]):
    """Turns what a damaged pickle raises, and `damage`, into a ValueError that names the file."""
    try:
        yield
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path} {error}") from None
    except (*DAMAGE, *damage) as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read: {reason}") from error
