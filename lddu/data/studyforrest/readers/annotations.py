"""Votes of the observers, who marked the emotions portrayed in the film."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lddu.data.studyforrest.labels import EMOTIONS
from lddu.data.studyforrest.readers import tables

AROUSAL = ("low", "high")
VALENCE = ("neg", "pos")
AUDIO_VISUAL = tuple(f"av1o{k:02d}" for k in range(1, 10))
AUDIO_ONLY = tuple(f"ao1o{k:02d}" for k in range(1, 4))


class Votes(NamedTuple):
    """What each observer marked in each of N windows.

    Attributes:
      emotion: (N, observers, 22) bool, in the order of `EMOTIONS`.
      arousal: (N, observers, 2) bool, in the order of `AROUSAL`.
      valence: (N, observers, 2) bool, in the order of `VALENCE`.
    """

    emotion: np.ndarray
    arousal: np.ndarray
    valence: np.ndarray


def read_votes(
    root: Path,
    start: np.ndarray,
    end: np.ndarray,
    observers: Sequence[str] = AUDIO_VISUAL,
) -> Votes:
    """Reads the votes of a panel of observers.

    An observer votes for an emotion in a window if one of the observer's episodes with that emotion
    overlaps the window; touching it is not enough. About 27 % of the episodes have no emotion word,
    only arousal and valence, so that a missing vote does not prove absence.

    Args:
      root: The folder of the raw files.
      start: (N,) film time in seconds at which each window begins.
      end: (N,) film time in seconds at which each window ends.
      observers: Names of the observers, from `AUDIO_VISUAL` or `AUDIO_ONLY`.

    Returns:
      The votes of the observers, in the order given.

    Raises:
      ValueError: If a file is malformed, naming file, line and column.
    """
    panels = [_observer(root / "emotions" / f"{name}.csv", start, end) for name in observers]
    return Votes(*(np.stack(parts, axis=1) for parts in zip(*panels, strict=True)))


def _observer(path: Path, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, ...]:
    """Reads one observer's (N, 22), (N, 2) and (N, 2) votes."""
    table = tables.read(path, ("start", "end", "arousal", "valence", "emotion"))
    begins, ends = (tables.numbers(path, table, name) for name in ("start", "end"))
    for row in np.flatnonzero(ends < begins):
        raise tables.fault(path, int(row), "end", f"{ends[row]} is before start {begins[row]}")
    # float32 for a fast matrix product; sums of up to a thousand ones are exact.
    overlaps = ((begins < end[:, None]) & (ends > start[:, None])).astype(np.float32)
    vocabularies = (("emotion", EMOTIONS), ("arousal", AROUSAL), ("valence", VALENCE))
    return tuple(overlaps @ _one_hot(path, table, *known) > 0 for known in vocabularies)


def _one_hot(
    path: Path, table: dict[str, list[str]], column: str, words: Sequence[str]
) -> np.ndarray:
    """Returns (episodes, words) float32 ones where a field has a word; spaces separate words."""
    out = np.zeros((len(table[column]), len(words)), np.float32)
    for row, field in enumerate(table[column]):
        for word in field.lower().split():
            if word not in words:
                raise tables.fault(path, row, column, f"{word!r} is not one of {', '.join(words)}")
            out[row, words.index(word)] = 1
    return out
