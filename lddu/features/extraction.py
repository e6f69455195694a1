"""Features by an extractor of your own: any function from a file to a (T, D) array."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from lddu.features.steps import shorten
from lddu.files import atomic_path, read_npy

Extractor = Callable[[Path], np.ndarray]
"""From a file to (steps, features) numbers, such as a spectrogram or embeddings of frames.

The number of steps may differ between files, the number of features may not.
"""


def extract(
    files: Sequence[str | os.PathLike | None],
    extractor: Extractor,
    *,
    steps: int | None = None,
    cache: str | os.PathLike | None = None,
    name: str = "",
    progress: bool = True,
) -> list[np.ndarray | None]:
    """Runs an extractor over files, checks its results, and keeps them in a cache.

    Args:
      files: One file per sample; None where the sample lacks the modality.
      extractor: Function from a path to (T, D) numbers; T = 0 means that the file has nothing.
      steps: Longest sequence wanted: longer ones become the means of `steps` nearly equal parts.
        None keeps all steps.
      cache: Folder in which results are kept, by `name` and by path, size and time of the file.
        None keeps nothing.
      name: Name of this extractor and its settings in the cache.
      progress: Whether to show a progress bar.

    Returns:
      One (T, D) float32 array per file, or None, as `lddu.data.from_sequences` takes them.

    Raises:
      FileNotFoundError: If a file does not exist.
      ValueError: If the extractor returns another shape, another width than before, or NaN or
        infinite values, naming the file; or if there is a cache but no name.

    Example:
      >>> import tempfile
      >>> from pathlib import Path
      >>> import numpy as np
      >>> from lddu.features.extraction import extract
      >>> def letters(path):
      ...     return np.frombuffer(path.read_bytes(), np.uint8)[:, None]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "a.txt"
      ...     _ = path.write_bytes(b"abc")
      ...     [found, missing] = extract([path, None], letters, progress=False)
      >>> found.shape, missing is None
      ((3, 1), True)
    """
    if cache is not None and not name:
        raise ValueError("cache needs a name that tells this extractor and its settings apart")
    results, width = [], None
    for file in tqdm(files, desc=f"extracting {name}".strip(), disable=not progress):
        if file is None:
            results.append(None)
            continue
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        kept = None if cache is None else Path(cache) / f"{_key(path, name)}.npy"
        values = None if kept is None else _kept(kept)
        if values is None:
            values = _checked(path, extractor(path))
            if kept is not None:
                _store(kept, values)
        if width not in (None, values.shape[1]):
            raise ValueError(f"{path}: {values.shape[1]} features, but earlier files have {width}")
        width = values.shape[1]
        results.append(values if steps is None else shorten(values, steps))
    return results


def _checked(path: Path, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] == 0 or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{path}: the extractor returned {values.dtype} {values.shape}, expected numbers of "
            "shape (steps, features)"
        )
    values = values.astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(f"{path}: the extractor returned {bad} NaN or infinite values")
    return values


def _kept(path: Path) -> np.ndarray | None:
    """Returns what the cache has; None if that is nothing or damaged."""
    try:
        return _checked(path, read_npy(path))
    except (OSError, ValueError):
        return None


def _key(path: Path, name: str) -> str:
    stat = path.stat()
    text = f"{name}\0{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _store(path: Path, values: np.ndarray) -> None:
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.save(file, values, allow_pickle=False)
