"""Tests of many thresholds at once: p-values of a mean loss, and the correction for many."""

import numpy as np

# Sums of fractions come out a rounding error off: what is meant to be whole must count as whole.
_ROUNDING = 1e-9


def binomial(errors: np.ndarray, n: np.ndarray, bound: float) -> np.ndarray:
    """P-values of "the error rate exceeds `bound`": the probability of so few errors among n.

    Args:
      errors: (G,) whole numbers of errors.
      n: (G,) whole numbers of independent cases.
      bound: In (0, 1).

    Returns:
      (G,) values P(Binomial(n, bound) <= errors), which are exact; 1 where the observed rate is not
      below the bound, since nothing speaks against the hypothesis there.
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
    """P-values of "the expected loss exceeds `bound`", for any loss in [0, 1].

    Args:
      losses: (G,) sums of n losses.
      n: (G,) numbers of independent losses.
      bound: In (0, 1).

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
    """The smallest value whose hypothesis Holm's procedure rejects; infinity where it rejects none.

    The i-th smallest of G p-values, i from 0, must be at most error / (G - i), and so must all
    before it: then the probability of any false rejection is at most `error`.
    """
    order = np.argsort(p_values, kind="stable")
    limits = error / np.arange(len(values), 0, -1)
    rejected = order[np.logical_and.accumulate(p_values[order] <= limits)]
    return values[rejected].min() if len(rejected) else np.inf
