"""Decision thresholds that maximise F1 on validation data, exactly.

The rule is `probs >= threshold` everywhere (`lddu.metrics.threshold`). F1 changes only where a
threshold passes a probability, so the cuts between neighbouring distinct probabilities are all
there is to try. A threshold lies midway between its neighbours (the lowest, which predicts
everything, halfway from the smallest probability to 0), so that rounding does not flip decisions.
Among equally good cuts the middle one is taken, the higher of two.
"""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks


def fit_shared(probs: ArrayLike, labels: ArrayLike, fallback: float = 0.5) -> np.ndarray:
    """One threshold for all labels, with the highest micro-F1 that any can reach.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      fallback: The threshold if there is no positive at all.

    Returns:
      A () float64 array in [0, 1].

    Raises:
      ValueError: If shapes differ or values are NaN, out of range or soft labels.
    """
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    threshold = _best_cuts(probs.reshape(-1, 1), labels.reshape(-1, 1))
    return np.where(labels.any(), threshold[0], fallback)


def fit_per_label(
    probs: ArrayLike, labels: ArrayLike, min_positives: int = 1, fallback: float = 0.5
) -> np.ndarray:
    """One threshold per label, each with the highest F1 of that label that any can reach.

    Macro-F1 is maximised with them. They are noisy for labels with few positives: raise
    `min_positives` and pass the shared threshold as `fallback`.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      min_positives: Labels with fewer positives take `fallback`; at least 1.
      fallback: Their threshold, in [0, 1].

    Returns:
      (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If shapes differ or values are NaN, out of range or soft labels.
    """
    if min_positives < 1:
        raise ValueError(
            f"min_positives={min_positives} is not at least 1: no threshold has an F1 without any"
        )
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    enough = labels.sum(0) >= min_positives
    return np.where(enough, _best_cuts(probs, labels), fallback)


def _best_cuts(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C,) F1-optimal thresholds of (N, C) columns; of no meaning for columns without positives."""
    order = np.argsort(-probs, axis=0)
    upper = np.take_along_axis(probs, order, axis=0)
    lower = np.concatenate([upper[1:], np.zeros_like(upper[:1])])
    hits = np.cumsum(np.take_along_axis(labels, order, axis=0), axis=0)
    predicted = np.arange(1, len(probs) + 1)[:, None]
    f1 = 2 * hits / (predicted + hits[-1])
    cut = upper != lower  # within ties there is nothing to cut
    cut[-1] = True
    # Equal fractions are equal floats, so that ties between cuts are found exactly.
    f1 = np.where(cut, f1, -1.0)
    tied = np.cumsum(f1 == f1.max(0), axis=0)
    chosen = np.argmax(tied >= (tied[-1] + 1) // 2, axis=0)[None]
    upper = np.take_along_axis(upper, chosen, axis=0)[0]
    lower = np.take_along_axis(lower, chosen, axis=0)[0]
    middle = (upper + lower) / 2
    # Between two neighbouring floats there is no middle, and rounding could let the lower one in.
    return np.where(middle > lower, middle, upper)
