"""Decisions, and which of them are wrong."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named


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


@named(returns="entries")
def wrong(decisions: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Returns which decisions are wrong, as the risk that `aurc` and `error_detection` take.

    Args:
      decisions: (N, C) decisions.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.

    Returns:
      (N, C) floats: 1 for a wrong decision and 0 for a right one; for a soft label the share of
      annotators who disagree; NaN where the label is unknown.

    Raises:
      ValueError: If shapes differ, values are out of range, or no label is known.

    Example:
      >>> import numpy as np
      >>> from lddu import metrics
      >>> metrics.wrong([[1, 0, 0]], [[1, 0.25, np.nan]]).tolist()
      [[0.0, 0.25, nan]]
    """
    decisions, labels, weights = checks.entries_of_decisions(decisions, labels)
    return np.where(weights > 0, np.abs(decisions - labels), np.nan)
