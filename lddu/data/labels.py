"""Statistics of labels, of which some may be unknown (NaN)."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lddu import callers
from lddu.metrics.checks import UnknownLabelWarning, known_entries


def base_rate(labels: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """Estimates how often each label is present, by Laplace's rule of succession.

    The estimate lies strictly between 0 and 1, so that its logit is finite: a label that never
    occurs in N rows has 1 / (N + 2), and one that no row knows has 1/2.

    Args:
      labels: (N, C) labels in [0, 1], hard or soft, NaN where unknown.
      weights: (N,) weights of the rows, each as many copies of a row; None gives all weight 1.

    Returns:
      (C,) estimates (positives + 1) / (N + 2), over the N rows in which the label is known.

    Raises:
      ValueError: If there is not one weight per row, or weights are not finite, negative or all 0.

    Example:
      >>> base_rate([[1, 0], [1, 0]])
      array([0.75, 0.25])
      >>> base_rate([[1, np.nan], [1, np.nan]])
      array([0.75, 0.5 ])
    """
    values, entries = known_entries(labels, weights)
    return ((entries * values).sum(0) + 1.0) / (entries.sum(0) + 2.0)


def check_known(labels: ArrayLike, names: Sequence[str], weights: ArrayLike | None = None) -> None:
    """Warns of labels that no training row knows, and raises if there are no others.

    Args:
      labels: (N, C) labels, NaN where unknown.
      names: Names of the C labels.
      weights: (N,) weights of the rows; a row of weight 0 knows nothing.

    Raises:
      ValueError: If no label is known in any row, or weights are all 0.

    Warns:
      UnknownLabelWarning: If no row knows a label; names it.
    """
    known = known_entries(labels, weights)[1].any(0)
    if not known.any():
        raise ValueError(
            f"no label of {list(names)} is known in any training row of positive weight; give "
            "labels in [0, 1], NaN only where they are unknown"
        )
    if not known.all():
        unknown = [name for name, here in zip(names, known, strict=True) if not here]
        warnings.warn(
            f"no training row knows the labels {unknown}: nothing is learned about them, and "
            "their base rate is set to 0.5",
            UnknownLabelWarning,
            stacklevel=callers.level(),
        )
