"""Emotion words, and labels from the votes of the observers: hard ones, and soft ones."""

from collections.abc import Sequence

import numpy as np

from lddu.data.studyforrest import panel
from lddu.data.studyforrest.windows import Windows

EMOTIONS = (
    "admiration",
    "angerrage",
    "compassion",
    "contempt",
    "disappointment",
    "fear",
    "fearsconfirmed",
    "gloating",
    "gratification",
    "gratitude",
    "happiness",
    "happyfor",
    "hate",
    "hope",
    "love",
    "pride",
    "relief",
    "remorse",
    "resentment",
    "sadness",
    "satisfaction",
    "shame",
)
TASK_LABELS = ("happiness", "love", "sadness", "fear", "angerrage", "contempt")


def task(windows: Windows, labels: Sequence[str] = TASK_LABELS, min_votes: int = 2) -> np.ndarray:
    """Hard labels: does the panel have at least `min_votes` votes?

    Args:
      windows: The windows.
      labels: Emotions, of `windows.emotions`.
      min_votes: Votes needed, of the 9 observers.

    Returns:
      (N, C) float32 of zeros and ones.

    Raises:
      ValueError: If a label is unknown or `min_votes` is not in 1..9.
    """
    observers = windows.votes.shape[1]
    if not 1 <= min_votes <= observers:
        raise ValueError(f"min_votes={min_votes} is not in 1..{observers}")
    return (_counts(windows, labels) >= min_votes).astype(np.float32)


def soft_labels(
    windows: Windows,
    rows: np.ndarray,
    labels: Sequence[str] = TASK_LABELS,
    min_votes: int = 2,
) -> np.ndarray:
    """Soft labels: the probability that a fresh panel of 9 gives at least `min_votes` votes.

    This, and not the share votes / 9, is a soft version of what `task` asks. See
    `lddu.data.studyforrest.panel` for the model.

    Args:
      windows: The windows.
      rows: Numbers of the training windows; the prior of each label is fitted on their votes only.
      labels: Emotions, of `windows.emotions`.
      min_votes: Votes needed, of the 9 observers.

    Returns:
      (N, C) float32 in [0, 1], for all windows.

    Raises:
      ValueError: If a label is unknown, `rows` is empty or `min_votes` is not in 1..9.
    """
    observers = windows.votes.shape[1]
    counts = _counts(windows, labels)
    columns = [
        panel.agreement(observers, min_votes, panel.fit(votes[rows], observers))[votes]
        for votes in counts.T
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _counts(windows: Windows, labels: Sequence[str]) -> np.ndarray:
    """(N, C) numbers of votes."""
    unknown = [label for label in labels if label not in windows.emotions]
    if unknown:
        raise ValueError(f"labels: {unknown} are not among {', '.join(windows.emotions)}")
    return windows.votes.sum(1)[:, [windows.emotions.index(label) for label in labels]]
