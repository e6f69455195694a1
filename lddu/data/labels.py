"""Statistics of labels."""

import numpy as np
from numpy.typing import ArrayLike


def base_rate(labels: ArrayLike) -> np.ndarray:
    """Estimates how often each label is present, by Laplace's rule of succession.

    The estimate lies strictly between 0 and 1, so that its logit is finite: a label that never
    occurs in N rows has 1 / (N + 2).

    Args:
      labels: (N, C) labels in [0, 1], hard or soft.

    Returns:
      (C,) estimates (positives + 1) / (N + 2).

    Example:
      >>> base_rate([[1, 0], [1, 0]])
      array([0.75, 0.25])
    """
    labels = np.asarray(labels, np.float64)
    return (labels.sum(0) + 1.0) / (len(labels) + 2.0)
