"""The files of a folder that may serve; names narrow the choice, their content decides later."""

import re
from dataclasses import dataclass
from pathlib import Path

from lddu.data.mosei import splits

_PICKLES, _TORCH = (".pkl", ".pickle", ".p"), (".pt", ".pth")
_UNALIGNED = re.compile(r"non?[-_ ]?align|un[-_ ]?align")


@dataclass(frozen=True)
class Files:
    """Candidates for each kind of file.

    Attributes:
      data: Files that may hold the features; one if the caller named it.
      labels: Labels files: the one that the caller named, else all that may be one.
      csds: The `.csd` files, if the caller named a folder.
      folds: File of the folds; None if there is none.
      named: Whether the caller named the labels file.
    """

    data: tuple[Path, ...]
    labels: tuple[Path, ...]
    csds: tuple[Path, ...]
    folds: Path | None
    named: bool

    def all(self) -> list[Path]:
        """Returns every file that the result may depend on, sorted."""
        folds = [self.folds] if self.folds else []
        return sorted({*self.data, *self.labels, *self.csds, *folds})


def locate(path: Path, setting: str, labels: Path | None, folds: Path | None) -> Files:
    """Lists the files that may serve, without opening any.

    Args:
      path: A file, or a folder; its direct subfolders are searched too.
      setting: "aligned" or "unaligned"; files whose names say the other are left out.
      labels: The labels file that the caller named, or None to search for it.
      folds: The file of the folds that the caller named, or None to search for it.

    Returns:
      The candidates.

    Raises:
      FileNotFoundError: If a named file or folder does not exist.
      ValueError: If `path` is a `.csd` file.
    """
    for given in (path, labels, folds):
        if given is not None and not given.exists():
            raise FileNotFoundError(f"there is no {given}")
    if path.suffix == ".csd" and path.is_file():
        raise ValueError(f"{path} is one of several .csd files: pass their folder")
    near = _listed(path) if path.is_dir() else _listed(path.parent, deep=False)
    torch = [p for p in near if p.suffix in _TORCH and p != path]
    csds = [p for p in near if p.suffix == ".csd"]
    if path.is_dir():
        data = [p for p in near if p.suffix in _PICKLES + _TORCH]
        data = [p for p in data if _hint(p) in (None, setting)]
    else:
        data = [path]
    candidates = [labels] if labels else [*csds, *torch]
    if folds is None and path.is_dir():
        folds = next((p for p in near if p.name in splits.NAMES), None)
    return Files(
        tuple(data), tuple(candidates), tuple(csds if path.is_dir() else ()), folds, bool(labels)
    )


def _listed(folder: Path, deep: bool = True) -> list[Path]:
    paths = [p for p in folder.iterdir() if not p.name.startswith(".")]
    if deep:
        inner = [p for p in paths if p.is_dir()]
        paths += [p for d in inner for p in d.iterdir() if not p.name.startswith(".")]
    return sorted(p for p in paths if p.is_file())


def _hint(path: Path) -> str | None:
    """Returns the setting that a file's name tells; None if it tells none."""
    name = path.stem.lower()
    if _UNALIGNED.search(name):
        return "unaligned"
    return "aligned" if "align" in name else None
