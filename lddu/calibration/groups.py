"""Groups of dependent rows, such as the windows of one film: numbered, and averaged."""

import numpy as np
from numpy.typing import ArrayLike


def numbered(groups: ArrayLike | None, rows: int) -> np.ndarray:
    """Returns the group of each row as a number counted from 0.

    Args:
      groups: (N,) names or numbers; None makes every row a group of its own.
      rows: Number of rows N.

    Returns:
      (N,) integers.

    Raises:
      ValueError: If `groups` does not have one entry per row.
    """
    groups = np.arange(rows) if groups is None else np.asarray(groups)
    if groups.shape != (rows,):
        raise ValueError(f"groups has shape {groups.shape}, must be one group per row, ({rows},)")
    return np.unique(groups, return_inverse=True)[1]


def weights(unit: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns the weight of each row in the average of its group.

    Args:
      unit: (N,) group of each row, from `numbered`.
      counted: (N,) bool, whether the row counts.

    Returns:
      (N,) weights. Those of the rows of a group that count are equal and sum to 1; those of other
      rows are 0.
    """
    sizes = np.bincount(unit, counted)
    return counted / np.maximum(sizes, 1)[unit]


def averages(
    values: np.ndarray, counted: np.ndarray, unit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Averages values within groups, over the rows that count.

    Args:
      values: (N, G) values.
      counted: (N, G) bool, whether the row counts for the value.
      unit: (N,) group of each row, whole numbers.

    Returns:
      (U, G) averages in the order of the groups' numbers, 0 where no row counts, and (U, G) bool,
      whether any does.
    """
    order = np.argsort(unit, kind="stable")
    starts = np.flatnonzero(np.diff(unit[order], prepend=-1))
    sums = np.add.reduceat((values * counted)[order], starts, axis=0)
    sizes = np.add.reduceat(counted[order].astype(int), starts, axis=0)
    return sums / np.maximum(sizes, 1), sizes > 0
