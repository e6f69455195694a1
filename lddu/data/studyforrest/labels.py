"""The emotion words, and hard and soft labels from the votes of the observers."""

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
    """Computes hard labels: 1 if at least `min_votes` of the observers vote for the emotion.

    Args:
      windows: N windows.
      labels: C emotions, from `windows.emotions`.
      min_votes: Number of votes needed, of the 9 observers.

    Returns:
      (N, C) float32 zeros and ones.

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
    """Computes soft labels: the probability that a fresh panel gives at least `min_votes` votes.

    This probability, unlike the share votes / 9, is the soft version of the labels of `task`;
    `lddu.data.studyforrest.panel` has the model.

    Args:
      windows: N windows.
      rows: Numbers of the training windows; the prior of each label is fitted on their votes only.
      labels: C emotions, from `windows.emotions`.
      min_votes: Number of votes needed, of the 9 observers.

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
    """Returns (N, C) numbers of votes."""
    unknown = [label for label in labels if label not in windows.emotions]
    if unknown:
        raise ValueError(f"labels: {unknown} are not among {', '.join(windows.emotions)}")
    return windows.votes.sum(1)[:, [windows.emotions.index(label) for label in labels]]
