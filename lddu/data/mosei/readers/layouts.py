"""A feature file of any layout: the layout is detected by content, and the file read in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS
from lddu.data.formats import load_pickle, load_torch
from lddu.data.mosei.readers import mmsa, mult, multibench, tailor
from lddu.data.mosei.readers.rows import Rows, is_aligned

_TORCH = (".pt", ".pth")
# Layout -> its reader.
READERS = {
    "TAILOR": tailor.read,
    "MMSA": mmsa.read,
    "LDDU": mmsa.read,
    "MultiBench": multibench.read,
    "MulT": mult.read,
}


@dataclass(frozen=True)
class Content:
    """The content of a feature file.

    Attributes:
      path: The file.
      layout: Its layout, a key of `READERS`.
      setting: "aligned" or "unaligned".
      rows: Split -> samples.
      findings: Repairs and warnings of reading it.
    """

    path: Path
    layout: str
    setting: str
    rows: Mapping[str, Rows]
    findings: Findings


def read(path: Path) -> Content:
    """Reads a feature file of any known layout; large arrays are not copied.

    Raises:
      UnsafePickleError: If the file asks for more than data.
      ValueError: If it is damaged or has another layout.
    """
    content = load_torch(path) if _is_torch(path) else load_pickle(path)
    findings, name = Findings(), path.name
    layout = layout_of(content, name)
    rows = {s: READERS[layout](content[s], f"{name} {s}", findings) for s in SPLITS}
    if layout == "MultiBench" and _is_mult(rows["train"]):
        layout, findings = "MulT", Findings()
        rows = {s: mult.read(content[s], f"{name} {s}", findings) for s in SPLITS}
    settings = {"aligned" if is_aligned(part) else "unaligned" for part in rows.values()}
    if len(settings) > 1:
        raise ValueError(f"{name}: some splits have the same steps in all modalities, some do not")
    return Content(path, layout, settings.pop(), rows, findings)


def _is_torch(path: Path) -> bool:
    if path.suffix in _TORCH:
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def layout_of(content: Any, name: str) -> str:
    """Detects the layout by the keys; a file of MulT is taken for MultiBench's, whose keys it has.

    Raises:
      ValueError: If the layout is not known, naming the keys.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{name}: a {type(content).__name__}, expected a dict of {SPLITS}")
    for split in SPLITS:
        if not isinstance(content.get(split), Mapping):
            keys = ", ".join(str(key)[:40] for key in list(content)[:10])
            raise ValueError(f"{name}: no dict under {split!r}; its keys are {keys}")
    split = content["train"]
    if any(str(key).startswith("src-") for key in split):
        return "TAILOR"
    if "tgt" in split:
        return "LDDU"
    if "text_bert" in split or "regression_labels" in split:
        return "MMSA"
    if {"text", "audio", "vision", "labels"} <= set(split):
        return "MultiBench"
    keys = ", ".join(sorted(str(key)[:40] for key in split)[:20])
    raise ValueError(
        f"{name}: no layout of CMU-MOSEI that lddu knows ({', '.join(READERS)}); "
        f"'train' has the keys {keys}"
    )


def _is_mult(rows: Rows) -> bool:
    """Tells MulT's rows: without emotions, and unaligned or with segment times as ids."""
    interval = rows.ids is not None and rows.ids.kind == "interval"
    return rows.emotions is None and (interval or not is_aligned(rows))
