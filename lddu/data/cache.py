"""Prepared data sets on disk: built once, mapped into memory from then on."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from lddu.data.card import Card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.files import converted, read_json, read_npy
from lddu.structs import Batch, Modality

_FORMAT = 3  # of the files; part of the key


class _Content(TypedDict):
    """`dataset.json`: what describes the arrays beside it."""

    key: dict[str, Any]
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    soft: tuple[str, ...]
    card: Card
    sha256: str


Allocate = Callable[[str, Sequence[int]], np.ndarray]
"""From a name and a shape to an empty float32 array, in memory or in a file of that name."""


def in_memory(name: str, shape: Sequence[int]) -> np.ndarray:
    """Returns an empty float32 array in memory: the `Allocate` that needs no name."""
    del name
    return np.empty(tuple(shape), np.float32)


def cached(
    key: Mapping[str, Any],
    build: Callable[[Allocate], Dataset],
    cache: str | os.PathLike | bool | None = True,
) -> Dataset:
    """Returns a data set from the cache, which it is built into if it is not there.

    Features are mapped from disk, so that they are read when they are used.

    Args:
      key: Everything that the data set depends on, as JSON values; another key is another data set.
      build: Builds the data set. Large arrays come from the `Allocate` it is given, so that they
        are written to disk as they are filled and never held in memory as a whole.
      cache: Folder of the cache. True takes `cache_folder()`; False or None builds in memory and
        keeps nothing.

    Returns:
      The data set. A damaged copy is removed and built anew.

    Raises:
      Exception: Whatever `build` raises; the cache then stays as it was.
    """
    if cache is False or cache is None:
        return build(in_memory)
    folder = cache_folder() if cache is True else Path(cache)
    text = json.dumps({"format": _FORMAT, **key}, sort_keys=True)
    path = folder.expanduser() / hashlib.sha256(text.encode()).hexdigest()[:24]
    if path.exists():
        try:
            return _load(path, json.loads(text))
        except (OSError, ValueError):
            _remove(path)  # only a copy, which is made again below
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".preparing-") as temporary:
        partial = Path(temporary) / "dataset"
        partial.mkdir()

        def allocate(name: str, shape: Sequence[int]) -> np.ndarray:
            file = partial / f"{name}.values.npy"
            return np.lib.format.open_memmap(file, "w+", np.float32, tuple(shape))

        _save(partial, build(allocate), text)
        try:
            partial.rename(path)
        except OSError:
            # If it is there, another process was faster, and its copy serves as well.
            if not (path / "dataset.json").is_file():
                raise
    return _load(path, json.loads(text))


def cache_folder() -> Path:
    """Returns where prepared data sets are kept: `LDDU_CACHE`, or `lddu` in the user's cache."""
    if folder := os.environ.get("LDDU_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lddu" / "datasets"


def identity(path: Path) -> list[Any]:
    """Returns path, size and time of a file, which tell without reading it whether it changed."""
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _save(folder: Path, dataset: Dataset, key: str) -> None:
    for name, split in dataset.splits().items():
        for modality, m in split.batch.modalities.items():
            file = folder / f"{name}.{modality}.values.npy"
            if _is_in(m.values, file):
                m.values.flush()  # `build` filled it in place
            else:
                # A map is copied first, since it may be a part of this very file.
                mapped = isinstance(m.values, np.memmap)
                values = np.array(m.values) if mapped else m.values
                np.save(file, values, allow_pickle=False)
            np.save(folder / f"{name}.{modality}.mask.npy", m.mask, allow_pickle=False)
        arrays = {"labels": split.batch.labels, "ids": split.ids, "soft": split.soft}
        arrays |= {"groups": split.groups, "weight": split.batch.weight}
        for what, array in arrays.items():
            if array is not None:
                np.save(folder / f"{name}.{what}.npy", array, allow_pickle=False)
    content = {
        "key": json.loads(key),
        "labels": list(dataset.labels),
        "modalities": list(dataset.train.batch.modalities),
        "soft": [name for name, split in dataset.splits().items() if split.soft is not None],
        "card": json.loads(dataset.card.to_json()),
    }
    content["sha256"] = _digest(content)
    (folder / "dataset.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_in(values: np.ndarray, file: Path) -> bool:
    """Tells whether an array is the map of a whole file, as `allocate` returned it."""
    if not isinstance(values, np.memmap) or values.filename is None or not file.is_file():
        return False
    there = np.load(file, mmap_mode="r", allow_pickle=False)
    same = Path(values.filename) == file.resolve() and there.dtype == values.dtype
    return same and there.shape == values.shape and there.offset == values.offset


def _load(folder: Path, key: dict[str, Any]) -> Dataset:
    """Reads a data set; a part that is missing, damaged or does not fit is an error."""
    written = read_json(folder / "dataset.json", dict[str, Any])
    content = converted(written, _Content)
    rest = {name: value for name, value in written.items() if name != "sha256"}
    if content["key"] != key or content["sha256"] != _digest(rest):
        raise ValueError(f"{folder} holds another data set, or its description has changed")

    def array(name: str, kind: str, *shape: int | None, mapped: bool = False) -> np.ndarray:
        x = read_npy(folder / f"{name}.npy", mapped)
        fits = len(x.shape) == len(shape) and all(
            n in (None, m) for n, m in zip(shape, x.shape, strict=True)
        )
        if x.dtype.kind not in kind or not fits:
            raise ValueError(f"{folder / name} is {x.dtype} {x.shape}, expected {kind!r} {shape}")
        return x

    def split(name: str) -> Split:
        labels = array(f"{name}.labels", "biuf", None, len(content["labels"]))
        rows = len(labels)
        modalities = {}
        for m in content["modalities"]:
            values = array(f"{name}.{m}.values", "f", rows, None, None, mapped=True)
            mask = array(f"{name}.{m}.mask", "b", *values.shape[:2])
            modalities[m] = Modality(values, mask)
        present = {m: modality.mask.any(1) for m, modality in modalities.items()}
        soft = array(f"{name}.soft", "f", *labels.shape) if name in content["soft"] else None
        ids = array(f"{name}.ids", "U", rows)
        groups, weight = (
            array(f"{name}.{what}", kind, rows)
            if (folder / f"{name}.{what}.npy").is_file()
            else None
            for what, kind in (("groups", "U"), ("weight", "f"))
        )
        return Split(Batch(modalities, present, labels, weight), ids, soft, groups)

    return Dataset(*(split(name) for name in SPLITS), content["labels"], content["card"])
