"""Averages within groups of dependent rows, such as the windows of one film."""

import numpy as np


def shares_of_rows(unit: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns the share of each row in the average of its group.

    Args:
      unit: (N,) group of each row, counted from 0.
      counted: (N,) bool, whether the row counts.

    Returns:
      (N,) shares. Those of the rows of a group that count are equal and sum to 1; those of other
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
    values, counted = values[order] * counted[order], counted[order]
    if len(starts) == len(order):  # every row is a group of its own
        return values, counted
    sums = np.add.reduceat(values, starts, axis=0)
    sizes = np.add.reduceat(counted.astype(int), starts, axis=0)
    return sums / np.maximum(sizes, 1), sizes > 0
