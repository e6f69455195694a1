"""What a confidence interval is made of."""

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A score and its confidence interval; floats, or (K,) arrays if the metric returns those.

    Attributes:
      estimate: The metric on all rows.
      low: Lower end of the interval; NaN without replicates.
      high: Upper end.
      replicates: Number of resamples on which the metric was finite. The others, such as resamples
        without positives, are left out; do not trust an interval from few replicates.
      method: How the ends were found: "bca" by `bootstrap`, "inversion" by `ece_interval`, "none"
        if the score has no bootstrap interval and the ends are NaN.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    replicates: int | np.ndarray
    method: str


class Difference(NamedTuple):
    """By how much model b scores above model a; floats, or (K,) arrays if the metric returns those.

    Attributes:
      estimate: The metric of b minus the metric of a, on all rows.
      low: Lower end of the interval of the difference; NaN without replicates.
      high: Upper end.
      p_value: Two-sided p-value of no difference: 1 - the highest level at which the interval
        leaves out 0. It cannot tell chances below about 2 / (1 + replicates) apart.
      replicates: Number of resamples on which the metric was finite for both models.
      method: "bca", or "none" if the score has no bootstrap interval and the ends are NaN.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    p_value: float | np.ndarray
    replicates: int | np.ndarray
    method: str
