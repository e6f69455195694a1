"""Tests of a mean loss at many thresholds: p-values, and the sequence of tests."""

import numpy as np

# Wealth is a product of floats; a p-value this close to the level, relatively, meets it.
_ROUNDING = 1e-9
# How many losses the worst case for the second moment counts as, before any is seen.
_PRIOR = 10.0
# Stakes are set anew this many times at most, so that long sequences take few steps.
_STAKES = 1000


def binomial(losses: np.ndarray, counted: np.ndarray, bound: float) -> np.ndarray:
    """Computes exact p-values of "the expected loss is at least `bound`", for losses of 0 or 1.

    Args:
      losses: (N, G) losses in {0, 1} at G thresholds, independent over rows.
      counted: (N, G) bool, which of them count.
      bound: Expected loss to test, in (0, 1).

    Returns:
      (G,) values P(Binomial(n, bound) <= errors), with n the number of losses that count; 1 where
      the mean is not below the bound, since nothing speaks against the hypothesis there.
    """
    n, errors = counted.sum(0), np.sum(losses * counted, axis=0)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(n.max() + 1), 1)))
    p_values = np.ones(len(n))
    for i in np.flatnonzero(errors < n * bound):
        k = np.arange(int(errors[i]) + 1)
        ways = log_factorial[n[i]] - log_factorial[k] - log_factorial[n[i] - k]
        terms = np.exp(ways + k * np.log(bound) + (n[i] - k) * np.log1p(-bound))
        p_values[i] = min(terms.sum(), 1.0)
    return p_values


def betting(losses: np.ndarray, counted: np.ndarray, bound: float, error: float) -> np.ndarray:
    """Computes p-values of "the expected loss is at least `bound`", for any loss in [0, 1].

    A gambler starts with wealth 1 and stakes on each loss, in the order of the rows, that it is
    below the bound: the wealth is multiplied by 1 - stake (loss - bound). Under the hypothesis the
    game is unfavourable, whatever the stakes, as long as they depend on earlier losses only. So
    the wealth ever exceeds 1 / a with probability at most a (Ville's inequality), and the inverse
    of the highest wealth is a p-value.

    The stakes aim at a wealth of 1 / error with the last loss. With a variance s^2 and r losses to
    come, the stake is sqrt(2 log(1 / (error wealth)) / (r s^2)), and at most 1 / (1 - bound), which
    loses everything on a loss of 1. Here s^2 is the mean squared deviation of earlier losses from
    the bound, shrunk towards that of losses of 0 or 1. For these the test has almost the power of
    the exact binomial one; with smaller deviations it has more. Of more than a thousand rows,
    blocks of neighbouring ones have the same stake, set before the first of them.

    Args:
      losses: (N, G) losses in [0, 1] at G thresholds, independent over rows.
      counted: (N, G) bool, which of them count; the others are passed over.
      bound: Expected loss to test, in (0, 1).
      error: Level at which the hypotheses will be tested, in (0, 1). The p-values are valid at any
        level, and the test has most power at this one.

    Returns:
      (G,) p-values, 1 where the wealth never grew.

    References:
      Waudby-Smith and Ramdas, "Estimating Means of Bounded Random Variables by Betting", Journal
      of the Royal Statistical Society B, 2024.
      Voráček and Orabona, "STaR-Bets: Sequential Target-Recalculating Bets for Tighter Confidence
      Intervals", arXiv:2505.22422, 2025, for the stakes.
    """
    target = np.log(1 / error)
    to_come = counted.sum(0)
    wealth, best = np.zeros((2, losses.shape[1]))  # logarithms
    seen = np.full(losses.shape[1], _PRIOR)
    squares = _PRIOR * bound * (1 - bound) * np.ones(losses.shape[1])
    step = max(-(-len(losses) // _STAKES), 1)
    with np.errstate(divide="ignore"):  # wealth may be lost
        for start in range(0, len(losses), step):
            now = counted[start : start + step]
            deviation = losses[start : start + step] - bound
            missing = np.maximum(target - wealth, 0)
            stake = np.sqrt(2 * missing * seen / (np.maximum(to_come, 1) * squares))
            growth = 1 - np.minimum(stake, 1 / (1 - bound)) * deviation
            gain = np.log(np.where(now, np.maximum(growth, 0), 1))
            path = wealth + np.cumsum(gain, axis=0)
            best = np.maximum(best, path.max(0))
            wealth = path[-1]
            to_come = to_come - now.sum(0)
            seen = seen + now.sum(0)
            squares = squares + np.sum(now * np.square(deviation), axis=0)
    return np.exp(-best)


def last_rejected(p_values: np.ndarray, values: np.ndarray, error: float) -> float:
    """Returns the value of the last hypothesis that fixed-sequence testing rejects.

    Hypotheses are tested in their order, each at the level `error`, up to the first that is not
    rejected. Any false rejection implies that of the first true hypothesis, so its probability is
    at most `error`, if the order does not depend on the data.

    Args:
      p_values: (G,) p-values of the hypotheses, in the order of the tests.
      values: (G,) value that each hypothesis is about.
      error: Probability allowed for any false rejection, in (0, 1).

    Returns:
      One of `values`, or infinity if the first hypothesis is not rejected.

    References:
      Maurer, Hothorn and Lehmacher, "Multiple Comparisons in Drug Clinical Trials and Preclinical
      Assays: A-Priori Ordered Hypotheses", 1995.
    """
    rejected = np.logical_and.accumulate(p_values <= error * (1 + _ROUNDING))
    return float(values[rejected][-1]) if rejected[0] else np.inf
