"""Which files a folder has for us: names narrow the choice, the content decides."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS
from lddu.data.formats import load_pickle, load_torch
from lddu.data.mosei import folds as fold_files
from lddu.data.mosei import mmsa, mult, multibench, tailor
from lddu.data.mosei.rows import Rows, is_aligned

_PICKLES, _TORCH = (".pkl", ".pickle", ".p"), (".pt", ".pth")
_UNALIGNED = re.compile(r"non?[-_ ]?align|un[-_ ]?align")
# Layout -> its reader.
READERS = {
    "TAILOR": tailor.read,
    "MMSA": mmsa.read,
    "LDDU": mmsa.read,
    "MultiBench": multibench.read,
    "MulT": mult.read,
}


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
        named = [p for p in near if p.name in fold_files.NAMES]
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


@dataclass(frozen=True)
class Content:
    """A file of features, read.

    Attributes:
      path: The file.
      layout: Its layout, a key of `READERS`.
      setting: "aligned" or "unaligned".
      rows: Split -> samples.
      findings: What reading found.
    """

    path: Path
    layout: str
    setting: str
    rows: Mapping[str, Rows]
    findings: Findings


def read(path: Path) -> Content:
    """Reads a file in whatever layout it has; large arrays are not copied.

    Raises:
      UnsafePickleError: If it holds anything but data.
      ValueError: If it is damaged or in no known layout.
    """
    content = load_torch(path) if _is_torch(path) else load_pickle(path)
    findings, name = Findings(), path.name
    layout = layout_of(content, name)
    rows = {s: READERS[layout](content[s], f"{name} {s}", findings) for s in SPLITS}
    if layout == "MultiBench" and _is_mult(rows["train"]):
        layout, findings = "MulT", Findings()
        rows = {s: mult.read(content[s], f"{name} {s}", findings) for s in SPLITS}
    settings = {"aligned" if is_aligned(found) else "unaligned" for found in rows.values()}
    if len(settings) > 1:
        raise ValueError(f"{name}: some splits have the same steps in all modalities, some do not")
    return Content(path, layout, settings.pop(), rows, findings)


def _is_torch(path: Path) -> bool:
    if path.suffix in _TORCH:
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def layout_of(content: Any, name: str) -> str:
    """The layout, by the keys; MulT's keys are those of MultiBench.

    Raises:
      ValueError: If it is none that is known, saying what was found.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{name}: a {type(content).__name__}, expected a dict of {SPLITS}")
    for split in SPLITS:
        if not isinstance(content.get(split), Mapping):
            found = ", ".join(str(key)[:40] for key in list(content)[:10])
            raise ValueError(f"{name}: no dict under {split!r}; its keys are {found}")
    split = content["train"]
    if any(str(key).startswith("src-") for key in split):
        return "TAILOR"
    if "tgt" in split:
        return "LDDU"
    if "text_bert" in split or "regression_labels" in split:
        return "MMSA"
    if {"text", "audio", "vision", "labels"} <= set(split):
        return "MultiBench"
    found = ", ".join(sorted(str(key)[:40] for key in split)[:20])
    raise ValueError(
        f"{name}: no layout of CMU-MOSEI that lddu knows ({', '.join(READERS)}); "
        f"'train' has {found}"
    )


def _is_mult(rows: Rows) -> bool:
    """Without emotions; unaligned, or with the times of segments as ids."""
    interval = rows.ids is not None and rows.ids.kind == "interval"
    return rows.emotions is None and (interval or not is_aligned(rows))
