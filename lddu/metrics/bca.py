"""BCa intervals and p-values from replicates and jackknife values of K scores at once."""

from typing import NamedTuple

import numpy as np
from scipy import special


class Correction(NamedTuple):
    """What BCa knows about K estimates.

    Attributes:
      bias: (K,) z0, by how many standard errors the median of the replicates is too low.
      acceleration: (K,) a, how fast the standard error grows with the score.
      freedom: (K,) degrees of freedom of the estimated standard error.
      units: Number of independent rows or groups.
    """

    bias: np.ndarray
    acceleration: np.ndarray
    freedom: np.ndarray
    units: int


def correction(
    estimate: np.ndarray, replicates: np.ndarray, jackknife: np.ndarray, units: int
) -> Correction:
    """Computes bias, acceleration and degrees of freedom.

    A normal quantile would take the standard error for known. It is as uncertain as a variance of
    `units` values with the kurtosis of the jackknife values, which a t distribution of as many
    degrees of freedom reflects: at most units - 1, fewer if some groups outweigh the others.

    Args:
      estimate: (K,) scores on all rows.
      replicates: (R, K) scores of the resamples, with NaN where undefined.
      jackknife: (J, K) scores without one of J parts of the units each, NaN where undefined.
      units: Number of units, at least 2.
    """
    low = (share(replicates < estimate, replicates) + share(replicates <= estimate, replicates)) / 2
    defined = ~np.isnan(jackknife)
    parts = np.maximum(np.sum(defined, axis=0), 1)
    pull = np.where(defined, np.sum(jackknife, axis=0, where=defined) / parts - jackknife, 0)
    # Differences at the level of rounding carry no information.
    pull[np.abs(pull) <= 1e-12 * np.abs(estimate)] = 0
    second, third, fourth = (np.sum(pull**k, axis=0) / parts for k in (2, 3, 4))
    safe = np.where(second > 0, second, 1)
    acceleration = third / (6 * np.sqrt(parts) * safe**1.5)
    # Of n values, the relative variance of their variance is (kurtosis - 1) / n = 2 / freedom.
    excess = np.maximum(fourth / safe**2 - 1, 1e-9)
    freedom = np.where(second > 0, np.minimum(units - 1, 2 * units / excess), units - 1)
    return Correction(special.ndtri(low), acceleration, np.maximum(freedom, 1), units)


def ends(replicates: np.ndarray, level: float, known: Correction) -> np.ndarray:
    """Returns the ends (2, K) of intervals, NaN without replicates."""
    widening = np.sqrt(known.units / (known.units - 1))
    tail = widening * special.stdtrit(known.freedom, (1 - level) / 2)
    limits = np.full((2, replicates.shape[1]), np.nan)
    for row, z in enumerate((tail, -tail)):
        moved = known.bias + z
        divisor = 1 - known.acceleration * moved
        # Beyond the pole the transformed quantile has passed infinity.
        bounded = np.where(divisor > 0, moved / np.where(divisor > 0, divisor, 1), np.sign(z) * 99)
        chance = special.ndtr(known.bias + bounded)
        for k, column in enumerate(replicates.T):
            kept = column[~np.isnan(column)]
            if kept.size:
                limits[row, k] = np.quantile(kept, chance[k])
    return limits


def p_values(replicates: np.ndarray, known: Correction) -> np.ndarray:
    """Returns (K,) two-sided p-values of a score of 0: 1 - the level at which an end reaches 0."""
    at_zero = (share(replicates < 0, replicates) + share(replicates <= 0, replicates)) / 2
    y = special.ndtri(at_zero) - known.bias
    divisor = 1 + known.acceleration * y
    z = np.where(divisor > 0, y / np.where(divisor > 0, divisor, 1), np.sign(y) * 99) - known.bias
    t = np.abs(z) * np.sqrt((known.units - 1) / known.units)
    p = np.minimum(2 * special.stdtr(known.freedom, -t), 1.0)
    return np.where(count(replicates) > 0, p, np.nan)


def count(replicates: np.ndarray) -> np.ndarray:
    """Returns how many of the replicates (R, K) are defined."""
    return np.count_nonzero(~np.isnan(replicates), axis=0)


def share(true: np.ndarray, replicates: np.ndarray) -> np.ndarray:
    """Returns the share of defined replicates for which something holds, never quite 0 or 1."""
    total = np.maximum(count(replicates), 1)
    return np.clip(np.sum(true, axis=0) / total, 1 / (total + 1), total / (total + 1))
