"""Intervals of proportions, also of entries that depend on each other."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lddu.metrics.bins import Bins, cells

_Z = 1.959964  # 97.5 % quantile of the standard normal


def wilson_interval(
    observed: ArrayLike, counts: ArrayLike, z: float = _Z
) -> tuple[np.ndarray, np.ndarray]:
    """Computes Wilson's interval for a proportion, which stays in [0, 1] and works at 0 and 1.

    Args:
      observed: (...,) proportions.
      counts: (...,) numbers of trials; 0 gives the interval [0, 1], even if the proportion is NaN.
      z: Quantile of the standard normal; the default gives 95 % intervals.

    Returns:
      Lower and upper ends, each (...,).

    References:
      Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.

    Example:
      >>> from lddu.plots.proportions import wilson_interval
      >>> [round(float(end), 4) for end in wilson_interval(0.8, 10)]
      [0.4902, 0.9433]
    """
    observed, counts = np.asarray(observed, float), np.asarray(counts, float)
    trials = np.maximum(counts, 1.0)
    p = np.where(counts > 0, observed, 0.5)
    center = (p + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(p * (1 - p) / trials + z**2 / (4 * trials**2))
    low, high = np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)
    return np.where(counts > 0, low, 0.0), np.where(counts > 0, high, 1.0)


def effective_numbers(
    bins: Bins, unit: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Computes how many independent trials the mean of each bin is worth.

    Where every unit has one entry in a bin, that is Kish's number (sum w)^2 / sum w^2, the count if
    weights are equal. Where units have several, it is the number of trials with which a proportion
    would have the variance that the units' sums show, shrunk so that normal quantiles do the work
    of t quantiles; at most Kish's number.

    Args:
      bins: Bins of the entries, for K bins in total.
      unit: (N,) unit of each row, numbered from 0; units are independent.
      values: (N, C) values in [0, 1] of the entries.
      weights: (N, C) weights of the entries; 0 leaves one out.

    Returns:
      (K,) numbers for `wilson_interval`; 0 for an empty bin.

    References:
      Kish, "Survey Sampling", Wiley 1965.
      Korn and Graubard, "Confidence Intervals for Proportions with Small Expected Number of
        Positive Counts Estimated from Survey Data", Survey Methodology 1998.
    """
    parts = cells(bins, unit, values, weights)
    size = int(np.prod(bins.shape))
    total, squares, entries = (
        bins.total(x).ravel() for x in (weights, np.square(weights), weights > 0)
    )
    tiny = np.finfo(float).tiny
    kish = np.square(total) / np.maximum(squares, tiny)
    units = np.bincount(parts.bin, minlength=size)
    mean = np.bincount(parts.bin, parts.sums, size) / np.maximum(total, tiny)
    residuals = np.square(parts.sums - mean[parts.bin] * parts.weights)
    variance = np.bincount(parts.bin, residuals, size) / np.maximum(np.square(total), tiny)
    variance *= units / np.maximum(units - 1, 1)
    weight_of_units = np.bincount(parts.bin, np.square(parts.weights), size)
    apart = np.square(total) / np.maximum(weight_of_units, tiny)
    binomial = mean * (1 - mean)
    # Units that all agree show no variance; then they are all that is known.
    worth = np.where(variance > 0, binomial / np.maximum(variance, tiny), apart)
    quantile = stats.t.ppf(0.975, np.maximum(units - 1, 1))
    return np.where(units == entries, kish, np.minimum(kish, worth * np.square(_Z / quantile)))
