"""From the raw files to `Windows`: votes, words, sound and picture of every window."""

from pathlib import Path

import numpy as np

from lddu.data.studyforrest.labels import EMOTIONS
from lddu.data.studyforrest.readers import annotations, speech, stimulus
from lddu.data.studyforrest.windows import (
    TEST,
    TRAIN,
    VALID,
    WINDOW_SECONDS,
    Windows,
    grid,
    make_batch,
)
from lddu.features import pca
from lddu.features.text import TextFeatures

# The axes of the fixed benchmark file were fitted on this many rows.
_PCA_ROWS = 20_000


def process(root: Path, text: TextFeatures, text_dim: int | None = None) -> Windows:
    """Cuts the film into windows, as `lddu.data.studyforrest.load_windows` describes.

    Args:
      root: The folder of the raw files.
      text: From the words of each window to one vector per word.
      text_dim: Number of principal components that word vectors are reduced to. None leaves the
        vectors as they are.

    Raises:
      ValueError: If a file is damaged, or `text` does not give one vector per word.
    """
    start, end, block = grid()
    tenth = block % 10
    split = np.where(tenth < 7, TRAIN, np.where(tenth == 7, VALID, TEST)).astype(np.int8)
    votes = annotations.read_votes(root, start, end)
    spoken = speech.sentences(speech.read_lines(root), start, end)
    vectors = _word_vectors(spoken, text)
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
        emotions=EMOTIONS,
        split=split,
    )


def _word_vectors(spoken: list[str], text: TextFeatures) -> list[np.ndarray]:
    """Returns one (words, D) array per window, after checking that `text` returned that."""
    vectors = text(spoken)
    if len(vectors) != len(spoken):
        raise ValueError(f"text: {len(vectors)} arrays for {len(spoken)} sentences")
    for sentence, rows in zip(spoken, vectors, strict=True):
        words = len(sentence.split())
        if rows.ndim != 2 or len(rows) != words:
            raise ValueError(f"text: shape {rows.shape} for the {words} words of {sentence!r}")
    return vectors


def _pad(vectors: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pads word vectors to (N, 48, D) float32, and returns them with their lengths (N,)."""
    length = np.array([len(rows) for rows in vectors])
    padded = np.zeros((len(vectors), speech.MAX_WORDS, vectors[0].shape[1]), np.float32)
    padded[np.arange(speech.MAX_WORDS) < length[:, None]] = np.concatenate(vectors)
    return padded, length
