"""Quality of the ranking of samples by the probability of each label.

`probs` are (N, C) in [0, 1], `labels` (N, C) in {0, 1}.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named

Average = Literal["macro", "none"]


@named(returns="labels")
def auroc(probs: ArrayLike, labels: ArrayLike, average: Average = "macro") -> float | np.ndarray:
    """Computes the area under the ROC curve.

    It is the probability that a random positive ranks above a random negative, ties counting half.

    Args:
      probs: (N, C) probabilities; only their order within a label matters.
      labels: (N, C) labels in {0, 1}.
      average: "macro" is the mean over labels, "none" returns one value per label.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label with one class only is NaN
      and left out of the mean; the mean is NaN if no label has both classes.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, or `average` is
        unknown.

    References:
      Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve", Radiology 1982.

    Example:
      >>> from lddu import metrics
      >>> metrics.auroc([[0.1], [0.4], [0.3], [0.9]], [[0], [0], [1], [1]])
      0.75
    """
    labels, first, last = _ranked(probs, labels, average)
    positives = labels.sum(0)
    negatives = len(labels) - positives
    # The Mann-Whitney statistic; places count from 0, and tied entries share their mean place.
    places = np.sum(labels * (first + last) / 2, axis=0)
    above = places - positives * (positives - 1) / 2
    areas = above / np.maximum(positives * negatives, 1)
    return _averaged(areas, positives, negatives, average)


@named(returns="labels")
def average_precision(
    probs: ArrayLike, labels: ArrayLike, average: Average = "macro"
) -> float | np.ndarray:
    """Computes average precision: the area under the precision-recall curve as a step function.

    It is the mean, over positives, of the precision of predicting all that rank at least as high.
    Its macro mean is known as mAP. Tied probabilities enter together, so the result does not depend
    on the order of the samples.

    Args:
      probs: (N, C) probabilities; only their order within a label matters.
      labels: (N, C) labels in {0, 1}.
      average: "macro" is the mean over labels, "none" returns one value per label.

    Returns:
      A float in [0, 1], or (C,) for "none"; higher is better. A label with one class only is NaN
      and left out of the mean; the mean is NaN if no label has both classes.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, or `average` is
        unknown.

    Example:
      >>> from lddu import metrics
      >>> metrics.average_precision([[0.1], [0.3], [0.4], [0.9]], [[0], [1], [0], [1]])
      0.8333333333333333
    """
    labels, first, _ = _ranked(probs, labels, average)
    positives = labels.sum(0)
    # Ascending order: everything from the first of its ties upwards is predicted with an entry.
    hits_from = np.cumsum(labels[::-1], axis=0)[::-1]
    at_entry = np.take_along_axis(hits_from, first, axis=0) / (len(labels) - first)
    scores = np.sum(labels * at_entry, axis=0) / np.maximum(positives, 1)
    return _averaged(scores, positives, len(labels) - positives, average)


def _ranked(
    probs: ArrayLike, labels: ArrayLike, average: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels (N, C) in ascending order of each column's probability, with their ties.

    Ties are given as the first and the last place, (N, C) each and counted from 0, of the entries
    with the same probability.
    """
    checks.choice("average", average, Average)
    probs, labels = checks.probs_and_labels(probs, labels)
    order = np.argsort(probs, axis=0)
    probs = np.take_along_axis(probs, order, axis=0)
    labels = np.take_along_axis(labels, order, axis=0).astype(np.int64)
    place = np.arange(len(probs))[:, None]
    rises = probs[1:] != probs[:-1]
    starts = np.concatenate([np.ones_like(labels[:1], bool), rises])
    ends = np.concatenate([rises, np.ones_like(labels[:1], bool)])
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=0)
    last = np.minimum.accumulate(np.where(ends, place, len(probs))[::-1], axis=0)[::-1]
    return labels, first, last


def _averaged(
    values: np.ndarray, positives: np.ndarray, negatives: np.ndarray, average: str
) -> float | np.ndarray:
    """Returns one value per label, or their mean, without labels of one class."""
    defined = (positives > 0) & (negatives > 0)
    if average == "none":
        return np.where(defined, values, np.nan)
    return float(np.mean(values[defined])) if defined.any() else float("nan")
