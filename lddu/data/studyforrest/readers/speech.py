"""The words spoken in each window, from the film's timed dialogue."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lddu.data.studyforrest.readers import tables

MAX_WORDS = 48
_OVERLAP = 0.5  # seconds of a line that must lie in a window
_WORD = re.compile(r"[A-Za-z']+")


class Line(NamedTuple):
    """A line of dialogue: film times in seconds, the speaker, and the text."""

    start: float
    end: float
    person: str
    text: str


def read_lines(root: Path) -> list[Line]:
    """Reads the dialogue, in film order.

    A line that ends before it starts (the file has one, "Okay." at 4263.3 s) is taken to last a
    second.

    Args:
      root: The folder of the raw files.

    Raises:
      ValueError: If the file is malformed, naming file, line and column.
    """
    path = root / "speech" / "english_dialog.csv"
    table = tables.read(path, ("start", "end", "person", "text"))
    start, end = (tables.numbers(path, table, name) for name in ("start", "end"))
    end = np.where(end < start, start + 1.0, end)
    return [
        Line(*fields)
        for fields in zip(start.tolist(), end.tolist(), table["person"], table["text"], strict=True)
    ]


def sentences(lines: Sequence[Line], start: np.ndarray, end: np.ndarray) -> list[str]:
    """Joins what is said in each window: the whole of each line that overlaps it by at least 0.5 s.

    Words are runs of letters and apostrophes; digits and punctuation are dropped, and so are the
    words after the 48th.

    Args:
      lines: The dialogue.
      start: (N,) film time in seconds at which each window begins.
      end: (N,) film time in seconds at which each window ends.

    Returns:
      N texts of at most 48 words separated by single spaces; empty if nobody speaks.

    Example:
      >>> import numpy as np
      >>> from lddu.data.studyforrest import Line, sentences
      >>> lines = [Line(1.0, 2.0, "FORREST", "Hello. My name's Forrest.")]
      >>> sentences(lines, np.array([0.0, 4.0]), np.array([4.0, 8.0]))
      ["Hello My name's Forrest", '']
    """
    words = [_WORD.findall(line.text) for line in lines]
    begins, ends = (np.array([line[i] for line in lines]) for i in (0, 1))
    overlap = np.minimum(ends, end[:, None]) - np.maximum(begins, start[:, None])
    # Times are tenths of a second, so that the margin only forgives rounding.
    counts = overlap >= _OVERLAP - 1e-6
    return [
        " ".join([word for i in np.flatnonzero(row) for word in words[i]][:MAX_WORDS])
        for row in counts
    ]
