"""`load`: one fold of the film as a `Dataset`; `load_windows`: the whole film as `Windows`."""

from pathlib import Path

import numpy as np

from lddu.data.batching import take
from lddu.data.card import Findings, Source, make_card, read_source
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.studyforrest.checksums import SHA256
from lddu.data.studyforrest.labels import TASK_LABELS, soft_labels, task
from lddu.data.studyforrest.locating import locate
from lddu.data.studyforrest.processing import process
from lddu.data.studyforrest.readers.benchmark import read_windows
from lddu.data.studyforrest.splits import FOLDS, STORED_FOLD, folds
from lddu.data.studyforrest.windows import Windows
from lddu.features.text import TextFeatures, hashed_words

# Windows per split of fold 4, the stored split; the other folds have no published counts.
PUBLISHED = {"train": 2428, "valid": 348, "test": 639}


def load(
    path: str | Path | None = None,
    *,
    fold: int = STORED_FOLD,
    text: TextFeatures | None = None,
    text_dim: int | None = None,
) -> Dataset:
    """Loads one of five folds of the task of record: six emotions, present at two of nine votes.

    Args:
      path: The folder of the raw files or the benchmark file `windows.npz`, as in `load_windows`.
      fold: Number of the fold, 0 to 4; 4 is the stored split.
      text: Word vectors for the raw files, as in `load_windows`.
      text_dim: Principal components of the word vectors, as in `load_windows`.

    Returns:
      The three splits, with soft labels by `soft_labels` fitted on the training windows, and a card
      that names the files that were read.

    Raises:
      FileNotFoundError, ConnectionError: If files are missing and cannot be fetched.
      ValueError: If `fold` is not in 0..4, a file is damaged, or the text options do not fit.
    """
    _check_fold(fold)
    windows, files = _read(path, text, text_dim)
    return dataset(windows, fold, tuple(read_source(file) for file in files))


def load_windows(
    path: str | Path | None = None,
    text: TextFeatures | None = None,
    text_dim: int | None = None,
) -> Windows:
    """Loads the film as windows, with the votes of all observers for all 22 emotions.

    The raw files reproduce the benchmark file: windows, split, votes, arousal, valence and text
    lengths exactly, vision exactly once rounded to its float16, and audio to float32 rounding. With
    `text=MiniLM()` and `text_dim=96` they reproduce its word vectors too, up to the sign of each
    axis and float16 rounding.

    Args:
      path: The folder of the raw files, as `lddu.data.studyforrest.locate` takes it (None finds or
        fetches them), or the benchmark file `windows.npz`.
      text: From the words of the windows to one vector per word; None hashes words,
        `lddu.features.text.hashed_words()`. `lddu.features.minilm.MiniLM()` reads in context. The
        benchmark file has its own word vectors.
      text_dim: Number of principal components that word vectors are reduced to. They are fitted
        without labels on the words of the training windows of `split`: the mean on all of them, the
        axes on the first 20,000, as in the benchmark file. Words of the test blocks of folds 0 to 3
        are among them. None leaves the vectors as they are.

    Raises:
      FileNotFoundError, ConnectionError: If files are missing and cannot be fetched.
      ValueError: If a file is damaged, `text` does not give one vector per word, or `text` or
        `text_dim` is given with the benchmark file.
    """
    windows, _ = _read(path, text, text_dim)
    return windows


def dataset(windows: Windows, fold: int = STORED_FOLD, sources: tuple[Source, ...] = ()) -> Dataset:
    """Makes a `Dataset` of windows: the task of record on one of its five folds.

    Args:
      windows: The whole film, from `load_windows`.
      fold: Number of the fold, 0 to 4; 4 is the stored split.
      sources: Files to name on the card.

    Returns:
      The three splits, with soft labels by `soft_labels` fitted on the training windows.

    Raises:
      ValueError: If `fold` is not in 0..4.
    """
    _check_fold(fold)
    labels, rows = task(windows), folds(windows)[fold]
    soft = soft_labels(windows, rows.train)
    splits = {
        name: Split(
            take(windows.batch, part).replace(labels=labels[part]),
            np.array([f"{start:g} s" for start in windows.start[part]]),
            soft[part],
        )
        for name, part in zip(SPLITS, rows, strict=True)
    }
    card = make_card(
        "studyforrest",
        f"windows of 4 s, every 2 s; block fold {fold} of 5",
        "six emotions portrayed in a film, present at two of nine votes",
        sources,
        {name: split.batch for name, split in splits.items()},
        TASK_LABELS,
        PUBLISHED if fold == STORED_FOLD else {},
        Findings(),
    )
    return Dataset(**splits, labels=TASK_LABELS, card=card)


def _read(
    path: str | Path | None, text: TextFeatures | None, text_dim: int | None
) -> tuple[Windows, list[Path]]:
    """Returns the windows, and the files that they were read from."""
    file = None if path is None else Path(path).expanduser()
    if file is None or not (file.is_file() or file.suffix == ".npz"):
        root = locate(path)
        return process(root, text or hashed_words(), text_dim), [root / name for name in SHA256]
    if text is not None or text_dim is not None:
        raise ValueError(
            f"{file} holds word vectors already; text and text_dim are for the raw files"
        )
    return read_windows(file), [file]


def _check_fold(fold: int) -> None:
    if fold not in range(FOLDS):
        raise ValueError(f"fold={fold} is not in 0..{FOLDS - 1}")
