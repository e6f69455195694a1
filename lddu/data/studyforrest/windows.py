"""The film as windows: three modalities and the votes of nine observers."""

import dataclasses
from typing import NamedTuple

import numpy as np

from lddu.structs import Batch, Modality

FILM_SECONDS = 7085.28
WINDOW_SECONDS = 4.0
HOP_SECONDS = 2.0
FIRST_SECOND = 17.0  # start of the first scene, after the opening titles
BLOCK_SECONDS = 120.0
TRAIN, VALID, TEST = 0, 1, 2


@dataclasses.dataclass(frozen=True, eq=False)  # == of arrays has no single answer
class Windows:
    """Windows of the film, in film order; neighbours overlap by half.

    Attributes:
      batch: Modalities `text` (N, 48, D), `audio` (N, 20, 5) and `vision` (N, 20, 149) as NumPy
        arrays, without labels. `text` is absent where nobody speaks.
      votes: (N, 9, 22) bool, which observer marked which of `emotions`.
      arousal: (N, 9, 2) bool, which observer marked low and high arousal.
      valence: (N, 9, 2) bool, which observer marked negative and positive valence.
      start: (N,) film time in seconds at which each window begins.
      end: (N,) film time in seconds at which each window ends.
      emotions: The 22 emotion words.
      split: (N,) int8, 0 train, 1 valid, 2 test: blocks of 120 s modulo 10 are 0-6, 7 and 8-9.
    """

    batch: Batch
    votes: np.ndarray
    arousal: np.ndarray
    valence: np.ndarray
    start: np.ndarray
    end: np.ndarray
    emotions: tuple[str, ...]
    split: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


class Grid(NamedTuple):
    """The places of the windows: start and end (N,) in seconds, and number of the block (N,)."""

    start: np.ndarray
    end: np.ndarray
    block: np.ndarray


def grid() -> Grid:
    """Returns windows of 4 s, every 2 s from 17 s on, except those across edges of 120-s blocks."""
    last = FILM_SECONDS - WINDOW_SECONDS
    start = np.arange(FIRST_SECOND, last, HOP_SECONDS)
    end = start + WINDOW_SECONDS
    inside = block_of(start, start) == block_of(end, end)
    start, end = start[inside], end[inside]
    return Grid(start, end, block_of(start, end))


def block_of(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns (N,) numbers of the 120-s block of the film in which each window's centre lies."""
    centre = (np.asarray(start, np.float64) + end) / 2
    return (centre // BLOCK_SECONDS).astype(int)


def make_batch(
    text: np.ndarray, text_length: np.ndarray, audio: np.ndarray, vision: np.ndarray
) -> Batch:
    """Makes a `Batch` without labels.

    Args:
      text: (N, W, D) vectors of words, padded behind the last word.
      text_length: (N,) numbers of words; 0 if nobody speaks.
      audio: (N, T, 5) features.
      vision: (N, T, 149) features.
    """
    spoken = np.arange(text.shape[1]) < text_length[:, None]
    modalities = {"text": Modality(text, spoken)}
    for name, values in (("audio", audio), ("vision", vision)):
        modalities[name] = Modality(values, np.ones(values.shape[:2], bool))
    return Batch(modalities, {name: m.mask.any(1) for name, m in modalities.items()})
