"""Features from one's own extractor: any function from a file to a (T, D) array."""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

Extractor = Callable[[Path], np.ndarray]
"""From a file to (steps, features) numbers: a spectrogram, embeddings of frames, anything.

The number of steps may differ from file to file, the number of features may not.
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
    """Runs an extractor over files, checks what it returns, and remembers it.

    Args:
      files: One per sample; None where the sample lacks the modality.
      extractor: From a path to (T, D) numbers; T = 0 says that nothing was found in the file.
      steps: Longest sequence wanted: longer ones become the means of `steps` nearly equal parts.
        None keeps all.
      cache: Folder where results are kept, each by the file's path, size and time and by `name`.
        None keeps nothing.
      name: What tells this extractor and its settings from others in the cache.
      progress: Whether to show a bar.

    Returns:
      One (T, D) float32 array per file, or None; what `lddu.data.from_sequences` takes.

    Raises:
      FileNotFoundError: If a file does not exist.
      ValueError: If the extractor returns another shape, another width than before, or NaN or
        infinite values; names the file. Also if there is a cache but no name.
    """
    if cache is not None and not name:
        raise ValueError("a cache needs a name that tells this extractor and its settings apart")
    results, width = [], None
    for file in tqdm(files, desc=f"extracting {name}".strip(), disable=not progress):
        if file is None:
            results.append(None)
            continue
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        kept = None if cache is None else Path(cache) / f"{_key(path, name)}.npy"
        if kept is not None and kept.is_file():
            values = np.load(kept, allow_pickle=False)
        else:
            values = _checked(path, extractor(path))
            if kept is not None:
                _store(kept, values)
        if width not in (None, values.shape[1]):
            raise ValueError(f"{path}: {values.shape[1]} features, but files before had {width}")
        width = values.shape[1]
        results.append(values if steps is None else shorten(values, steps))
    return results


def shorten(values: np.ndarray, steps: int) -> np.ndarray:
    """A sequence (T, D) of at most `steps` steps: the means of nearly equal parts.

    Raises:
      ValueError: If `steps` is not at least 1.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} is not at least 1")
    if len(values) <= steps:
        return values
    edges = np.arange(steps) * len(values) // steps
    counts = np.diff(np.append(edges, len(values)))
    return (np.add.reduceat(values, edges, axis=0, dtype=np.float64) / counts[:, None]).astype(
        np.float32
    )


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


def _key(path: Path, name: str) -> str:
    stat = path.stat()
    text = f"{name}\0{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _store(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Moved into place, so that a killed run leaves no half file behind.
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    partial.replace(path)
