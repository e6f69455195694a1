"""The film as windows: three modalities and the votes of nine observers, from the raw files."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lddu.data.studyforrest import annotations, speech, stimulus
from lddu.data.studyforrest.files import locate
from lddu.features import pca
from lddu.features.text import TextFeatures, hashed_words
from lddu.structs import Batch, Modality

WINDOW_SECONDS = 4.0
HOP_SECONDS = 2.0
FIRST_SECOND = 17.0  # the first scene; before it there are opening titles
BLOCK_SECONDS = 120.0
TRAIN, VALID, TEST = 0, 1, 2
# The axes of the fixed benchmark file were fitted on this many rows; see `load`.
_PCA_ROWS = 20_000


@dataclasses.dataclass(frozen=True, eq=False)  # == of arrays has no single answer
class Windows:
    """Windows of the film, in film order; neighbours overlap by half.

    Attributes:
      batch: Modalities `text` (N, 48, D), `audio` (N, 20, 5) and `vision` (N, 20, 149) as NumPy
        arrays, without labels. `text` is absent where nobody speaks.
      votes: (N, 9, 22) bool, which observer marked which of `emotions`.
      arousal: (N, 9, 2) bool, which observer marked low and high arousal.
      valence: (N, 9, 2) bool, which observer marked negative and positive valence.
      start: (N,) film time in seconds.
      end: (N,) film time in seconds.
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
    """Where the windows lie: start and end (N,) in seconds, and the number of the block (N,)."""

    start: np.ndarray
    end: np.ndarray
    block: np.ndarray


def grid() -> Grid:
    """Windows of 4 s, every 2 s from 17 s on, that cross no edge of the 120-s blocks."""
    last = stimulus.FILM_SECONDS - WINDOW_SECONDS
    start = np.arange(FIRST_SECOND, last, HOP_SECONDS)
    end = start + WINDOW_SECONDS
    inside = block_of(start, start) == block_of(end, end)
    start, end = start[inside], end[inside]
    return Grid(start, end, block_of(start, end))


def block_of(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Number of the 120-s block of the film in which the centre of each window lies."""
    centre = (np.asarray(start, np.float64) + end) / 2
    return (centre // BLOCK_SECONDS).astype(int)


def load(
    path: str | Path | None = None,
    text: TextFeatures | None = None,
    text_dim: int | None = None,
) -> Windows:
    """Windows made from the raw files.

    The fixed benchmark file (`load_windows`) is reproduced: windows, split, votes, arousal, valence
    and text lengths exactly, vision exactly once rounded to its float16, audio to float32 rounding;
    with `text=MiniLM()` and `text_dim=96` word vectors too, up to the sign of each axis and float16
    rounding.

    Args:
      path: See `lddu.data.studyforrest.locate`.
      text: From the words of the windows to one vector per word; None hashes words,
        `lddu.features.text.hashed_words()`. `lddu.features.minilm.MiniLM()` reads in context.
      text_dim: Reduces word vectors to this many principal components. They are fitted without
        labels on the words of the training windows of `split`: the mean on all of them, the axes
        on the first 20,000, as in the benchmark file (so words of the test blocks of folds 0 to 3
        are among them). None leaves the vectors as they are.

    Raises:
      FileNotFoundError, ConnectionError: If raw files are missing and cannot be fetched.
      ValueError: If a file is damaged, or `text` does not give one vector per word.
    """
    root = locate(path)
    start, end, block = grid()
    tenth = block % 10
    split = np.where(tenth < 7, TRAIN, np.where(tenth == 7, VALID, TEST)).astype(np.int8)
    votes = annotations.read_votes(root, start, end)
    spoken = speech.sentences(speech.read_lines(root), start, end)
    vectors = _word_vectors(spoken, text or hashed_words())
    if text_dim is not None:
        training = np.concatenate([vectors[i] for i in np.flatnonzero(split == TRAIN)])
        state = pca.fit(training, text_dim, axes_rows=_PCA_ROWS)
        vectors = [pca.apply(state, rows) for rows in vectors]
    return Windows(
        batch=make_batch(
            *_pad(vectors),
            audio=stimulus.audio(root, start, WINDOW_SECONDS),
            vision=stimulus.vision(root, start, WINDOW_SECONDS),
        ),
        votes=votes.emotion,
        arousal=votes.arousal,
        valence=votes.valence,
        start=start.astype(np.float32),
        end=end.astype(np.float32),
        emotions=annotations.EMOTIONS,
        split=split,
    )


def make_batch(
    text: np.ndarray, text_length: np.ndarray, audio: np.ndarray, vision: np.ndarray
) -> Batch:
    """Puts padded words (N, 48, D) with their numbers (N,), audio and vision into a `Batch`."""
    spoken = np.arange(text.shape[1]) < text_length[:, None]
    modalities = {"text": Modality(text, spoken)}
    for name, values in (("audio", audio), ("vision", vision)):
        modalities[name] = Modality(values, np.ones(values.shape[:2], bool))
    return Batch(modalities, {name: m.mask.any(1) for name, m in modalities.items()})


def _word_vectors(spoken: list[str], text: TextFeatures) -> list[np.ndarray]:
    """One (words, D) array per window, as promised by `TextFeatures`."""
    vectors = text(spoken)
    if len(vectors) != len(spoken):
        raise ValueError(f"text: {len(vectors)} arrays for {len(spoken)} sentences")
    for sentence, rows in zip(spoken, vectors, strict=True):
        words = len(sentence.split())
        if rows.ndim != 2 or len(rows) != words:
            raise ValueError(f"text: shape {rows.shape} for the {words} words of {sentence!r}")
    return vectors


def _pad(vectors: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Word vectors as one (N, 48, D) float32 array with zeros after the words, and lengths (N,)."""
    length = np.array([len(rows) for rows in vectors])
    padded = np.zeros((len(vectors), speech.MAX_WORDS, vectors[0].shape[1]), np.float32)
    padded[np.arange(speech.MAX_WORDS) < length[:, None]] = np.concatenate(vectors)
    return padded, length
