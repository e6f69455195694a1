"""Quality of the ranking of samples by the probability of each label.

`probs` are (N, C) in [0, 1]; `labels` (N, C) in [0, 1], with NaN for an unknown one. A soft label y
of weight w counts as two entries: one present, of weight w y, and one absent, of weight w (1 - y).
A row of weight k counts as k rows that are equal.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.names import named

Average = Literal["macro", "none"]


@named(returns="labels")
def auroc(
    probs: ArrayLike,
    labels: ArrayLike,
    average: Average = "macro",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the area under the ROC curve.

    It is the probability that a random positive ranks above a random negative, ties counting half.

    Args:
      probs: (N, C) probabilities; only their order within a label matters.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      average: "macro" is the mean over labels, "none" returns one value per label.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label without both classes among
      its known ones is NaN, and left out of the mean with a warning; the mean is NaN if no label
      has both.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or `average` is unknown.

    References:
      Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve", Radiology 1982.

    Example:
      >>> from lddu import metrics
      >>> metrics.auroc([[0.1], [0.4], [0.3], [0.9]], [[0], [0], [1], [1]])
      0.75
    """
    present, absent, first, last = _ranked(probs, labels, weights, average)
    # The weight of the absent ones below an entry, and half of that of those tied with it.
    below = np.pad(np.cumsum(absent, axis=0), ((1, 0), (0, 0)))
    under, upto = (np.take_along_axis(below, place, axis=0) for place in (first, last + 1))
    above = np.sum(present * (under + upto) / 2, axis=0)
    return _averaged(above, below[-1], present, absent, average)


@named(returns="labels")
def average_precision(
    probs: ArrayLike,
    labels: ArrayLike,
    average: Average = "macro",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes average precision: the area under the precision-recall curve as a step function.

    It is the mean, over positives, of the precision of predicting all that rank at least as high.
    Its macro mean is known as mAP. Tied probabilities enter together, so the result does not depend
    on the order of the samples.

    Args:
      probs: (N, C) probabilities; only their order within a label matters.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      average: "macro" is the mean over labels, "none" returns one value per label.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label without both classes among
      its known ones is NaN, and left out of the mean with a warning; the mean is NaN if no label
      has both.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or `average` is unknown.

    Example:
      >>> from lddu import metrics
      >>> metrics.average_precision([[0.1], [0.3], [0.4], [0.9]], [[0], [1], [0], [1]])
      0.8333333333333333
    """
    present, absent, first, _ = _ranked(probs, labels, weights, average)
    # Ascending order: everything from the first of its ties upwards is predicted with an entry.
    hits, predicted = (
        np.take_along_axis(np.cumsum(x[::-1], axis=0)[::-1], first, axis=0)
        for x in (present, present + absent)
    )
    at_entry = hits / np.where(predicted > 0, predicted, 1)
    return _averaged(np.sum(present * at_entry, axis=0), 1, present, absent, average)


def _ranked(
    probs: ArrayLike, labels: ArrayLike, weights: ArrayLike | None, average: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns entries (N, C) in ascending order of each column's probability, with their ties.

    Returns:
      The weights of presence and of absence, and the first and the last place, counted from 0, of
      the entries with the same probability.
    """
    checks.choice("average", average, Average)
    entries = checks.entries_of_probs(probs, labels, weights)
    order = np.argsort(entries.values, axis=0)
    probs, present, absent = (
        np.take_along_axis(x, order, axis=0)
        for x in (entries.values, entries.present, entries.absent)
    )
    place = np.arange(len(probs))[:, None]
    rises = probs[1:] != probs[:-1]
    starts = np.pad(rises, ((1, 0), (0, 0)), constant_values=True)
    ends = np.pad(rises, ((0, 1), (0, 0)), constant_values=True)
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, place, len(probs))[::-1], axis=0)[::-1]
    return present, absent, first, last


def _averaged(
    sums: np.ndarray,
    divisor: np.ndarray | float,
    present: np.ndarray,
    absent: np.ndarray,
    average: str,
) -> float | np.ndarray:
    """Returns sums over positives (C,), per unit of positives and divisor, or their mean."""
    positives = np.sum(present, axis=0)
    both = (positives > 0) & np.any(absent > 0, axis=0)
    # Only rounding of weighted sums can bring a score above 1.
    scores = np.minimum(sums / np.where(both, positives * divisor, 1), 1)
    return averaging.over_labels(np.where(both, scores, np.nan), average, averaging.ONE_CLASS)
