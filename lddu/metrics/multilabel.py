"""How good are the decisions, and how well do the probabilities rank?

Shapes: `probs` (N, C) in [0, 1], `decisions` (N, C) bool, `labels` (N, C) in {0, 1}. Everything
raises ValueError, naming argument and shape, on other values, NaN, or shapes that differ.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks

Average = Literal["micro", "macro", "none"]
RankingAverage = Literal["macro", "none"]


def threshold(probs: ArrayLike, thresholds: ArrayLike = 0.5) -> np.ndarray:
    """Decides: a label is predicted where `probs >= thresholds`.

    Args:
      probs: (N, C) probabilities.
      thresholds: One for all labels; (C,), one per label; or (N, C), as where rows come from
        different folds.

    Returns:
      (N, C) bool decisions.

    Raises:
      ValueError: If thresholds are NaN or have another shape.
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


def jaccard(
    decisions: ArrayLike, labels: ArrayLike, empty: Literal["one", "zero"] = "one"
) -> float:
    """Mean over samples of |predicted and true| / |predicted or true| ("multi-label accuracy").

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels.
      empty: What a sample counts whose two sets are both empty: "one", since the prediction is
        right, or "zero", as in the official LDDU code. Papers differ silently, so name the
        convention with the number.

    Returns:
      The mean, in [0, 1]; higher is better.
    """
    checks.choice("empty", empty, ("one", "zero"))
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    both = np.sum(decisions & labels, axis=1)
    either = np.sum(decisions | labels, axis=1)
    default = 1.0 if empty == "one" else 0.0
    return float(np.mean(np.where(either > 0, both / np.maximum(either, 1), default)))


def hamming_loss(decisions: ArrayLike, labels: ArrayLike) -> float:
    """Share of the N * C decisions that are wrong; lower is better."""
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    return float(np.mean(decisions != labels))


def exact_match(decisions: ArrayLike, labels: ArrayLike) -> float:
    """Share of the N samples with every label right ("subset accuracy"); higher is better."""
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    return float(np.mean(np.all(decisions == labels, axis=1)))


def precision(
    decisions: ArrayLike, labels: ArrayLike, average: Average = "micro"
) -> float | np.ndarray:
    """True positives / predicted positives; 0 where nothing is predicted.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels.
      average: "micro" pools the counts of all labels, "macro" is the plain mean over labels, "none"
        returns one value per label.

    Returns:
      A float, or (C,) for "none".
    """
    hits, predicted, _ = _counts(decisions, labels, average)
    return _averaged(_ratio(hits, predicted), average)


def recall(
    decisions: ArrayLike, labels: ArrayLike, average: Average = "micro"
) -> float | np.ndarray:
    """True positives / positives; 0 where there is no positive. Arguments as in `precision`."""
    hits, _, positives = _counts(decisions, labels, average)
    return _averaged(_ratio(hits, positives), average)


def f1(decisions: ArrayLike, labels: ArrayLike, average: Average = "micro") -> float | np.ndarray:
    """Harmonic mean of precision and recall, 2 hits / (predicted + positives).

    0 where nothing is predicted and there is no positive. "macro" is the mean of the labels' F1,
    not the F1 of mean precision and recall. Arguments as in `precision`.
    """
    hits, predicted, positives = _counts(decisions, labels, average)
    return _averaged(_ratio(2 * hits, predicted + positives), average)


def auroc(
    probs: ArrayLike, labels: ArrayLike, average: RankingAverage = "macro"
) -> float | np.ndarray:
    """Probability that a random positive ranks above a random negative, ties counting half.

    Args:
      probs: (N, C) probabilities (only their order within a label matters).
      labels: (N, C) labels.
      average: "macro" is the mean over labels, "none" returns one value per label.

    Returns:
      A float, or (C,) for "none". A label with one class only is NaN and left out of the mean; the
      mean is NaN if no label has both classes.

    References:
      Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve", Radiology 1982.
    """
    labels, first, last = _ranked(probs, labels, average)
    positives = labels.sum(0)
    negatives = len(labels) - positives
    # The Mann-Whitney statistic; places count from 0, and tied entries share their mean place.
    places = np.sum(labels * (first + last) / 2, axis=0)
    above = places - positives * (positives - 1) / 2
    return _ranking_average(_ratio(above, positives * negatives), positives, negatives, average)


def average_precision(
    probs: ArrayLike, labels: ArrayLike, average: RankingAverage = "macro"
) -> float | np.ndarray:
    """Area under the precision-recall curve, as a step function: mean precision at each positive.

    Its macro mean is known as mAP. Tied probabilities enter together, so the result does not depend
    on the order of the samples.

    Args:
      probs: (N, C) probabilities (only their order within a label matters).
      labels: (N, C) labels.
      average: "macro" is the mean over labels, "none" returns one value per label.

    Returns:
      A float, or (C,) for "none", with NaN for one-class labels as in `auroc`.
    """
    labels, first, _ = _ranked(probs, labels, average)
    positives = labels.sum(0)
    # Ascending order: everything from the first of its ties upwards is predicted with an entry.
    hits_from = np.cumsum(labels[::-1], axis=0)[::-1]
    at_entry = np.take_along_axis(hits_from, first, axis=0) / (len(labels) - first)
    scores = _ratio(np.sum(labels * at_entry, axis=0), positives)
    return _ranking_average(scores, positives, len(labels) - positives, average)


def _counts(decisions: ArrayLike, labels: ArrayLike, average: str) -> tuple[np.ndarray, ...]:
    """True positives, predicted positives, positives: pooled for "micro", else per label."""
    checks.choice("average", average, ("micro", "macro", "none"))
    decisions, labels = checks.decisions_and_labels(decisions, labels)
    axis = None if average == "micro" else 0
    return tuple(np.sum(x, axis=axis) for x in (decisions & labels, decisions, labels))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, 0 where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), 0.0)


def _averaged(values: np.ndarray, average: str) -> float | np.ndarray:
    return values if average == "none" else float(np.mean(values))


def _ranked(
    probs: ArrayLike, labels: ArrayLike, average: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N, C) in ascending order of each column's probability, with tie groups.

    Also the first and last place, (N, C) each and counted from 0, of those tied with an entry.
    """
    checks.choice("average", average, ("macro", "none"))
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


def _ranking_average(
    values: np.ndarray, positives: np.ndarray, negatives: np.ndarray, average: str
) -> float | np.ndarray:
    defined = (positives > 0) & (negatives > 0)
    if average == "none":
        return np.where(defined, values, np.nan)
    return float(np.mean(values[defined])) if defined.any() else float("nan")
