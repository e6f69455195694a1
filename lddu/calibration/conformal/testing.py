"""Tests of many thresholds at once: p-values of a mean loss, and the correction for many."""

import numpy as np

# Sums of fractions are off by rounding errors; within this margin of a whole number they count as
# whole.
_ROUNDING = 1e-9


def binomial(errors: np.ndarray, n: np.ndarray, bound: float) -> np.ndarray:
    """Computes p-values of "the error rate exceeds `bound`": of so few errors among n.

    Args:
      errors: (G,) whole numbers of errors.
      n: (G,) whole numbers of independent cases.
      bound: Error rate to test, in (0, 1).

    Returns:
      (G,) exact values P(Binomial(n, bound) <= errors); 1 where the observed rate is not below the
      bound, since nothing speaks against the hypothesis there.
    """
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(n.max() + 1), 1)))
    p_values = np.ones(len(n))
    for i in np.flatnonzero(errors < n * bound):
        k = np.arange(int(errors[i]) + 1)
        ways = log_factorial[n[i]] - log_factorial[k] - log_factorial[n[i] - k]
        terms = np.exp(ways + k * np.log(bound) + (n[i] - k) * np.log1p(-bound))
        p_values[i] = min(terms.sum(), 1.0)
    return p_values


def hoeffding_bentkus(losses: np.ndarray, n: np.ndarray, bound: float) -> np.ndarray:
    """Computes p-values of "the expected loss exceeds `bound`", for any loss in [0, 1].

    Args:
      losses: (G,) sums of n losses.
      n: (G,) numbers of independent losses.
      bound: Expected loss to test, in (0, 1).

    Returns:
      (G,) the smaller of Hoeffding's and Bentkus's bounds on the probability of so small a sum; 1
      where the mean is not below `bound`.

    References:
      Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", Journal of the ACM 2021.
    """
    bentkus = np.e * binomial(np.ceil(losses - _ROUNDING), n, bound)
    mean = np.clip(losses / np.maximum(n, 1), 0.0, bound)
    logarithm = np.log(np.where(mean > 0, mean, 1.0) / bound)
    divergence = mean * logarithm + (1 - mean) * (np.log1p(-mean) - np.log1p(-bound))
    return np.minimum(np.minimum(bentkus, np.exp(-n * divergence)), 1.0)


def smallest_rejected(p_values: np.ndarray, values: np.ndarray, error: float) -> float:
    """Returns the smallest value whose hypothesis Holm's procedure rejects, or infinity if none.

    The i-th smallest of G p-values, i from 0, must be at most error / (G - i), and so must all
    before it. Then the probability of any false rejection is at most `error`.

    Args:
      p_values: (G,) p-values of the hypotheses.
      values: (G,) value that each hypothesis is about.
      error: Probability allowed for any false rejection, in (0, 1).

    Returns:
      One of `values`, or infinity if no hypothesis is rejected.

    References:
      Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    order = np.argsort(p_values, kind="stable")
    limits = error / np.arange(len(values), 0, -1)
    rejected = order[np.logical_and.accumulate(p_values[order] <= limits)]
    return values[rejected].min() if len(rejected) else np.inf
