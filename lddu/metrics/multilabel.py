"""Decisions and their quality.

`probs` are (N, C) in [0, 1], `decisions` (N, C) bool, `labels` (N, C) in {0, 1}.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named

Average = Literal["micro", "macro", "none"]
EmptySets = Literal["one", "zero"]


@named(returns="entries")
def threshold(probs: ArrayLike, thresholds: ArrayLike = 0.5) -> np.ndarray:
    """Decides which labels are present: those with `probs >= thresholds`.

    Args:
      probs: (N, C) probabilities.
      thresholds: One for all labels; (C,), one per label; or (N, C), as where rows come from
        different folds.

    Returns:
      (N, C) bool decisions.

    Raises:
      ValueError: If `probs` are not (N, C), are NaN or outside [0, 1], or thresholds are NaN or
        have another shape.

    Example:
      >>> from lddu import metrics
      >>> metrics.threshold([[0.5, 0.6], [0.4, 0.1]], [0.5, 0.7]).tolist()
      [[True, False], [False, False]]
    """
    checks.same_shape(probs=probs)
    probs = checks.unit_interval("probs", probs)
    thresholds = np.asarray(thresholds, np.float64)
    if thresholds.shape not in ((), probs.shape[1:], probs.shape):
        raise ValueError(
            f"thresholds has shape {thresholds.shape}, must be a scalar, one per label "
            f"{probs.shape[1:]}, or one per entry {probs.shape}"
        )
    if np.isnan(thresholds).any():
        raise ValueError("thresholds holds NaN; use 0.5 where none could be fitted")
    return probs >= thresholds


@named
def jaccard(decisions: ArrayLike, labels: ArrayLike, empty: EmptySets = "one") -> float:
    """Computes the Jaccard index of predicted and true labels, or "multi-label accuracy".

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.
      empty: Score of a sample without predicted and true labels: "one", since the prediction is
        right, or "zero", as in the official LDDU code. Papers use either without saying so; report
        the convention with the number.

    Returns:
      Mean over samples of |predicted and true| / |predicted or true|, in [0, 1]; higher is better.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, or `empty` is unknown.

    Example:
      >>> from lddu import metrics
      >>> metrics.jaccard([[1, 1], [0, 0]], [[1, 0], [0, 0]])
      0.75
    """
    checks.choice("empty", empty, EmptySets)
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    both = np.sum(decisions & labels, axis=1)
    either = np.sum(decisions | labels, axis=1)
    default = 1.0 if empty == "one" else 0.0
    return float(np.mean(np.where(either > 0, both / np.maximum(either, 1), default)))


@named
def hamming_loss(decisions: ArrayLike, labels: ArrayLike) -> float:
    """Computes the Hamming loss: the share of decisions that are wrong.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.

    Returns:
      Share of the N * C decisions, in [0, 1]; lower is better.

    Raises:
      ValueError: If shapes differ or values are neither 0 nor 1.

    Example:
      >>> from lddu import metrics
      >>> metrics.hamming_loss([[1, 1], [0, 0]], [[1, 0], [0, 0]])
      0.25
    """
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    return float(np.mean(decisions != labels))


@named
def exact_match(decisions: ArrayLike, labels: ArrayLike) -> float:
    """Computes the share of samples with every label right, or "subset accuracy".

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.

    Returns:
      Share of the N samples, in [0, 1]; higher is better.

    Raises:
      ValueError: If shapes differ or values are neither 0 nor 1.
    """
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    return float(np.mean(np.all(decisions == labels, axis=1)))


@named(returns="labels")
def precision(
    decisions: ArrayLike, labels: ArrayLike, average: Average = "micro"
) -> float | np.ndarray:
    """Computes precision, true positives / predicted positives; 0 where nothing is predicted.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.
      average: "micro" pools the counts of all labels, "macro" is the plain mean over labels, "none"
        returns one value per label.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, or `average` is unknown.
    """
    hits, predicted, _ = _counts(decisions, labels, average)
    return _averaged(_ratio(hits, predicted), average)


@named(returns="labels")
def recall(
    decisions: ArrayLike, labels: ArrayLike, average: Average = "micro"
) -> float | np.ndarray:
    """Computes recall, true positives / positives; 0 where there are no positives.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.
      average: "micro" pools the counts of all labels, "macro" is the plain mean over labels, "none"
        returns one value per label.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, or `average` is unknown.
    """
    hits, _, positives = _counts(decisions, labels, average)
    return _averaged(_ratio(hits, positives), average)


@named(returns="labels")
def f1(decisions: ArrayLike, labels: ArrayLike, average: Average = "micro") -> float | np.ndarray:
    """Computes F1, the harmonic mean of precision and recall: 2 hits / (predicted + positives).

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in {0, 1}.
      average: "micro" pools the counts of all labels, "macro" is the mean of the labels' F1 (not
        the F1 of mean precision and recall), "none" returns one value per label.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. 0 where nothing is predicted and
      there are no positives.

    Raises:
      ValueError: If shapes differ, values are neither 0 nor 1, or `average` is unknown.

    Example:
      >>> from lddu import metrics
      >>> decisions, labels = [[1, 1], [0, 1]], [[1, 0], [0, 0]]
      >>> metrics.f1(decisions, labels), metrics.f1(decisions, labels, "none").tolist()
      (0.5, [1.0, 0.0])
    """
    hits, predicted, positives = _counts(decisions, labels, average)
    return _averaged(_ratio(2 * hits, predicted + positives), average)


def _counts(decisions: ArrayLike, labels: ArrayLike, average: str) -> tuple[np.ndarray, ...]:
    """Counts true positives, predicted positives, positives: pooled for "micro", else per label."""
    checks.choice("average", average, Average)
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    axis = None if average == "micro" else 0
    return tuple(np.sum(x, axis=axis) for x in (decisions & labels, decisions, labels))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns the quotient, 0 where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), 0.0)


def _averaged(values: np.ndarray, average: str) -> float | np.ndarray:
    return values if average == "none" else float(np.mean(values))
