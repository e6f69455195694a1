"""The quality of decisions.

`decisions` are (N, C) bool, `labels` (N, C) with NaN for an unknown one.
A row of weight k counts as k rows that are equal. Metrics of entries take soft labels too: a soft
label y of weight w counts as two entries, one present, of weight w y, and one absent, of weight
w (1 - y). Metrics of whole rows need to know which labels come together, so they take hard ones.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.names import named

Average = Literal["micro", "macro", "none"]
EmptySets = Literal["one", "zero"]


@named
def jaccard(
    decisions: ArrayLike,
    labels: ArrayLike,
    empty: EmptySets = "one",
    *,
    weights: ArrayLike | None = None,
) -> float:
    """Computes the Jaccard index of predicted and true labels, or "multi-label accuracy".

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}, or NaN where unknown. Of a row, only the known labels are
        looked at, and a row without any is left out.
      empty: Score of a sample without predicted and true labels: "one", since the prediction is
        right, or "zero", as in the official LDDU code. Papers use either without saying so; report
        the convention with the number.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Weighted mean over samples of |predicted and true| / |predicted or true|, in [0, 1]; higher is
      better.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, no label is known, or `empty` is
        unknown.

    Example:
      >>> from lddu import metrics
      >>> metrics.jaccard([[1, 1], [0, 0]], [[1, 0], [0, 0]])
      0.75
    """
    checks.choice("empty", empty, EmptySets)
    decided, labels, known, rows = _sets(decisions, labels, weights)
    both = np.sum(known & decided & labels, axis=1)
    either = np.sum(known & (decided | labels), axis=1)
    default = 1.0 if empty == "one" else 0.0
    scores = np.where(either > 0, both / np.maximum(either, 1), default)
    return float(np.sum(rows * scores) / np.sum(rows))


@named
def hamming_loss(
    decisions: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Computes the Hamming loss: the share of decisions that are wrong.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Weighted share of the decisions on known labels, in [0, 1]; lower is better.

    Raises:
      ValueError: If shapes differ, values are out of range, decisions are neither 0 nor 1, or no
        label is known.

    Example:
      >>> from lddu import metrics
      >>> metrics.hamming_loss([[1, 1], [0, 0]], [[1, 0], [0, 0]])
      0.25
    """
    decisions, labels, weights = checks.entries_of_decisions(decisions, labels, weights)
    return float(np.sum(weights * np.abs(decisions - labels)) / np.sum(weights))


@named
def exact_match(
    decisions: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Computes the share of samples with every label right, or "subset accuracy".

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}, or NaN where unknown. Of a row, only the known labels are
        looked at, and a row without any is left out.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Weighted share of the samples, in [0, 1]; higher is better.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, or no label is known.
    """
    decided, labels, known, rows = _sets(decisions, labels, weights)
    right = np.all(~known | (decided == labels), axis=1)
    return float(np.sum(rows * right) / np.sum(rows))


@named(returns="labels")
def precision(
    decisions: ArrayLike,
    labels: ArrayLike,
    average: Average = "micro",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes precision, true positives / predicted positives; 0 where nothing is predicted.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      average: "micro" pools the counts of all labels, "macro" is the plain mean over labels, "none"
        returns one value per label.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label that is never known is NaN,
      and left out of the macro mean with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, decisions are neither 0 nor 1, no label
        is known, or `average` is unknown.
    """
    counts = _counts(decisions, labels, weights, average)
    return _ratio(counts.hits, counts.predicted, counts, average)


@named(returns="labels")
def recall(
    decisions: ArrayLike,
    labels: ArrayLike,
    average: Average = "micro",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes recall, true positives / positives; 0 where there are no positives.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      average: "micro" pools the counts of all labels, "macro" is the plain mean over labels, "none"
        returns one value per label.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label that is never known is NaN,
      and left out of the macro mean with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, decisions are neither 0 nor 1, no label
        is known, or `average` is unknown.
    """
    counts = _counts(decisions, labels, weights, average)
    return _ratio(counts.hits, counts.positives, counts, average)


@named(returns="labels")
def f1(
    decisions: ArrayLike,
    labels: ArrayLike,
    average: Average = "micro",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes F1, the harmonic mean of precision and recall: 2 hits / (predicted + positives).

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      average: "micro" pools the counts of all labels, "macro" is the mean of the labels' F1 (not
        the F1 of mean precision and recall), "none" returns one value per label.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. 0 where nothing is predicted and
      there are no positives. A label that is never known is NaN, and left out of the macro mean
      with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, decisions are neither 0 nor 1, no label
        is known, or `average` is unknown.

    Example:
      >>> from lddu import metrics
      >>> decisions, labels = [[1, 1], [0, 1]], [[1, 0], [0, 0]]
      >>> metrics.f1(decisions, labels), metrics.f1(decisions, labels, "none").tolist()
      (0.5, [1.0, 0.0])
    """
    counts = _counts(decisions, labels, weights, average)
    return _ratio(2 * counts.hits, counts.predicted + counts.positives, counts, average)


class _Counts(NamedTuple):
    """Weights of true positives, predicted positives, positives and all: () pooled, or (C,)."""

    hits: np.ndarray
    predicted: np.ndarray
    positives: np.ndarray
    known: np.ndarray


def _counts(
    decisions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, average: str
) -> _Counts:
    """Counts entries by weight: pooled for "micro", else per label."""
    checks.choice("average", average, Average)
    entries = checks.entries_of_decisions(decisions, labels, weights)
    columns = (entries.values * entries.present, entries.values * entries.weights)
    axis = None if average == "micro" else 0
    return _Counts(*(np.sum(x, axis) for x in (*columns, entries.present, entries.weights)))


def _ratio(
    numerator: np.ndarray, denominator: np.ndarray, counts: _Counts, average: str
) -> float | np.ndarray:
    """Returns the averaged quotient, 0 where the denominator is 0, NaN for labels never known."""
    score = np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), 0.0)
    return averaging.over_labels(np.where(counts.known > 0, score, np.nan), average)


def _sets(
    decisions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns decisions, labels and which labels count, (N, C) bool, and weights of rows (N,)."""
    entries = checks.entries_of_decisions(decisions, labels, weights)
    known = entries.weights > 0
    labels = checks.binary("labels", np.where(known, entries.labels, 0))
    return entries.values.astype(bool), labels, known, entries.weights.max(axis=1)
