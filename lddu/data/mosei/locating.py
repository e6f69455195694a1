"""Which files a folder has for us: names narrow the choice, the content decides."""

import re
from dataclasses import dataclass
from pathlib import Path

from lddu.data.mosei import splits

_PICKLES, _TORCH = (".pkl", ".pickle", ".p"), (".pt", ".pth")
_UNALIGNED = re.compile(r"non?[-_ ]?align|un[-_ ]?align")


@dataclass(frozen=True)
class Files:
    """What there is.

    Attributes:
      data: Files that may hold the features; one if the caller named it.
      labels: Labels files: the one the caller named, else all that may be one.
      csds: The `.csd` files of the folder, where it is one.
      folds: The folds, where they are there.
      named: Whether the caller named the labels file.
    """

    data: tuple[Path, ...]
    labels: tuple[Path, ...]
    csds: tuple[Path, ...]
    folds: Path | None
    named: bool

    def all(self) -> list[Path]:
        """Every file that the result may depend on."""
        found = {*self.data, *self.labels, *self.csds, *([self.folds] if self.folds else [])}
        return sorted(found)


def locate(path: Path, setting: str, labels: Path | None, folds: Path | None) -> Files:
    """Lists the files, without opening any.

    Args:
      path: A file, or a folder; its own folders are looked into too, but not theirs.
      setting: "aligned" or "unaligned"; files whose names say the other are left out.
      labels: The labels file, if the caller named it.
      folds: The folds, if the caller named them.

    Raises:
      FileNotFoundError: If something is not there.
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
    found = [labels] if labels else [*csds, *torch]
    if folds is None and path.is_dir():
        named = [p for p in near if p.name in splits.NAMES]
        folds = named[0] if named else None
    return Files(
        tuple(data), tuple(found), tuple(csds if path.is_dir() else ()), folds, bool(labels)
    )


def _listed(folder: Path, deep: bool = True) -> list[Path]:
    found = [p for p in folder.iterdir() if not p.name.startswith(".")]
    if deep:
        inner = [p for p in found if p.is_dir()]
        found += [p for d in inner for p in d.iterdir() if not p.name.startswith(".")]
    return sorted(p for p in found if p.is_file())


def _hint(path: Path) -> str | None:
    """The setting that a name tells."""
    name = path.stem.lower()
    if _UNALIGNED.search(name):
        return "unaligned"
    return "aligned" if "align" in name else None
