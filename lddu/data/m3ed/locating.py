"""Locates the files: a feature file, and annotation.json and splitInfo near it."""

import zipfile
from pathlib import Path
from typing import NamedTuple

_LISTS = {
    name: f"movie_list_{part}.txt"
    for name, part in (("train", "train"), ("valid", "val"), ("test", "test"))
}
_HINTS = {".pkl": "pickle", ".pickle": "pickle", ".pt": "torch", ".pth": "torch"}
NEEDED = {
    "dialogue": (
        "the authors' feature pickle (a list of 10 items) or CARAT's m3ed_data_60.pt, and with the "
        "pickle, if you have them, annotation.json and splitInfo/"
    ),
    "utterance": (
        "the authors' feature pickle (a list of 10 items) and annotation.json, and if you have it "
        "splitInfo/"
    ),
}


class Files(NamedTuple):
    """The files to read.

    Attributes:
      features: The feature pickle or CARAT's file.
      annotation: annotation.json, or None.
      lists: Split -> file that lists its series, or None.
    """

    features: Path
    annotation: Path | None
    lists: dict[str, Path] | None

    def paths(self) -> list[Path]:
        """Returns all files."""
        rest = [self.annotation] if self.annotation else []
        return [self.features, *rest, *(self.lists or {}).values()]


def locate(path: str | Path, task: str) -> Files:
    """Locates the files for a task.

    Args:
      path: A folder, or the feature file in it; annotation.json and splitInfo/ are taken from the
        same folder or the one above, the nearest first.
      task: "dialogue" or "utterance".

    Raises:
      FileNotFoundError: If `path` does not exist.
      ValueError: If a file that the task needs is missing, or there are several feature files.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        features = _features(path, task)
        near = list(dict.fromkeys((path, features.parent)))
    elif path.is_file():
        features = path
        near = [path.resolve().parent, path.resolve().parent.parent]
    else:
        raise FileNotFoundError(f"M3ED: there is no file or folder {path}")
    annotation = next(
        (f / "annotation.json" for f in near if (f / "annotation.json").is_file()), None
    )
    files = Files(features, annotation, _lists(near))
    if task == "utterance" and annotation is None and sniff(features) != "torch":
        folders = " and ".join(map(str, near))
        raise ValueError(
            f"M3ED: {features.name} is there, but no annotation.json in {folders}; task "
            f"{task!r} needs {NEEDED[task]}"
        )
    return files


def sniff(path: Path) -> str | None:
    """Detects a file's kind by its start: "pickle", "torch" (a zip of torch.save), or None."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                inside = any(name.endswith("/data.pkl") for name in archive.namelist())
            return "torch" if inside else None
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
            return "torch" if path.suffix in (".pt", ".pth") else None
    if len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5:
        return "torch" if _HINTS.get(path.suffix) == "torch" else "pickle"
    return _HINTS.get(path.suffix)  # pickle protocols 0 and 1 have no mark, nor may damaged files


def _features(folder: Path, task: str) -> Path:
    """Returns the one feature file in a folder, or else in its direct subfolders."""
    kinds: dict[Path, str] = {}
    for pattern in ("*", "*/*"):
        files = sorted(file for file in folder.glob(pattern) if file.is_file())
        kinds = {file: kind for file in files if (kind := sniff(file))}
        if kinds:
            break
    # CARAT's file has no single utterances, so that a pickle beside it is the one for that task.
    pickles = [file for file, kind in kinds.items() if kind == "pickle"]
    chosen = pickles if task == "utterance" and pickles else list(kinds)
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = ", ".join(str(file.relative_to(folder)) for file in chosen)
        raise ValueError(f"M3ED: {folder} holds several feature files: {names}; pass one of them")
    names = ", ".join(sorted(file.name for file in folder.iterdir())[:20]) or "nothing"
    raise ValueError(
        f"M3ED: no feature file in {folder}, which holds {names}; task {task!r} needs "
        f"{NEEDED[task]}"
    )


def _lists(near: list[Path]) -> dict[str, Path] | None:
    """Returns split -> list of series from the first folder that has such lists."""
    for folder in [f / sub for f in near for sub in ("splitInfo", ".")]:
        lists = {split: folder / name for split, name in _LISTS.items()}
        missing = [file.name for file in lists.values() if not file.is_file()]
        if len(missing) == len(lists):
            continue
        if missing:
            raise ValueError(
                f"M3ED: {folder} lacks {', '.join(missing)}; complete or remove the lists"
            )
        return lists
    return None
