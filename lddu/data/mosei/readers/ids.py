"""The ids of samples, which tell their place in a video: a clip, a segment or a time."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_CLIP = "$_$"
_SEGMENT = re.compile(r"(.+)\[(\d{1,9})\]", re.DOTALL)


@dataclass(frozen=True)
class Ids:
    """The ids of one split.

    Attributes:
      names: N texts that name the samples.
      kind: "clip" (MMSA's `video$_$clip`), "segment" (the SDK's `video[k]`), "interval" (video,
        start, end) or "other".
      videos: N names of videos; empty for "other".
      places: N clips (text), segments (int) or starts (seconds); empty for "other".
    """

    names: list[str]
    kind: str
    videos: list[str]
    places: list[Any]


def parse(values: Any, where: str) -> Ids:
    """Reads ids and detects their kind.

    Args:
      values: N texts, or N rows whose first entry is a text; bytes are read as UTF-8.
      where: File, split and key, which errors name.

    Raises:
      ValueError: If an entry is not an id, or the ids are of several kinds, naming the row.
    """
    if isinstance(values, np.ndarray) and values.ndim in (1, 2, 3):
        values = values.tolist()
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{where}: a {type(values).__name__}, expected one id a sample")
    rows = [_cells(row, f"{where}, row {i}") for i, row in enumerate(values)]
    kinds = [_kind(cells) for cells in rows]
    for i, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(f"{where}, row {i}: {rows[i]!r:.80} is not an id like {rows[0]!r:.80}")
    kind = kinds[0] if kinds else "other"
    first = [cells[0] for cells in rows]
    if kind == "other":
        return Ids(first, kind, [], [])
    if kind == "interval":
        places = [_seconds(cells[1], f"{where}, row {i}") for i, cells in enumerate(rows)]
        names = [f"{video} {start:g}" for video, start in zip(first, places, strict=True)]
        return Ids(names, kind, first, places)
    if kind == "clip":
        pairs = [tuple(name.rsplit(_CLIP, 1)) for name in first]
    else:
        matches = [_SEGMENT.fullmatch(name) for name in first]
        pairs = [(match[1], int(match[2])) for match in matches]
    return Ids(first, kind, [video for video, _ in pairs], [place for _, place in pairs])


def _cells(row: Any, where: str) -> list[Any]:
    """Returns one id as a list that starts with a text."""
    row = row.tolist() if isinstance(row, np.ndarray) else row
    while isinstance(row, (list, tuple)) and len(row) == 1:
        row = row[0].tolist() if isinstance(row[0], np.ndarray) else row[0]
    cells = list(row) if isinstance(row, (list, tuple)) else [row]
    cells = [_text(cell, where) if isinstance(cell, bytes) else cell for cell in cells]
    if not cells or not isinstance(cells[0], str) or not cells[0]:
        raise ValueError(f"{where}: {row!r:.80} is not an id")
    return [str(cells[0]), *cells[1:]]


def _text(cell: bytes, where: str) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {cell!r:.80} is not UTF-8 text: {error}") from None


def _kind(cells: list[Any]) -> str:
    if _CLIP in cells[0]:
        return "clip"
    if _SEGMENT.fullmatch(cells[0]):
        return "segment"
    return "interval" if len(cells) == 3 else "other"


def _seconds(cell: Any, where: str) -> float:
    try:
        if isinstance(cell, (str, int, float)):
            return float(cell)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{where}: {cell!r:.80} is not a start in seconds")
