"""A panel of observers as a beta-binomial: the probability that a fresh panel would agree.

With vote rate p of a label in a window, and n observers who vote independently, the number of votes
is Binomial(n, p). Rates differ from window to window as Beta(a, b), fitted by maximum likelihood.
After k votes the rate is Beta(a + k, b + n - k), and the votes of n new observers follow the
posterior predictive, again a beta-binomial.

References:
  Minka, Estimating a Dirichlet distribution, 2000, section 4 (the fixed-point iteration).
"""

import math
from typing import NamedTuple

import numpy as np

_BOUNDS = (1e-6, 1e6)  # where all windows agree, the likelihood is largest at 0 or infinity
_ITERATIONS = 20_000
_TOLERANCE = 1e-10


class BetaPrior(NamedTuple):
    """A Beta(a, b) distribution of the vote rate."""

    a: float
    b: float


def log_pmf(k: np.ndarray, n: int, prior: BetaPrior) -> np.ndarray:
    """Computes the log-probability of k votes among n under the beta-binomial, elementwise.

    Args:
      k: Numbers of votes, integers in 0..n.
      n: Number of observers.
      prior: Distribution of the vote rate.

    Returns:
      Log-probabilities of the shape of `k`.
    """

    def log_beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    base = log_beta(*prior) + math.log(n + 1)
    table = [
        -log_beta(j + 1, n - j + 1) + log_beta(prior.a + j, prior.b + n - j) - base
        for j in range(n + 1)
    ]
    return np.asarray(table)[np.asarray(k)]


def fit(votes: np.ndarray, n: int) -> BetaPrior:
    """Fits the prior of the vote rate by maximum likelihood.

    Args:
      votes: (N,) numbers of votes, integers in 0..n.
      n: Number of observers.

    Returns:
      The prior, with parameters between 1e-6 and 1e6.

    Raises:
      ValueError: If `votes` is empty, or a number of votes is not in 0..n.
    """
    votes = np.asarray(votes)
    if votes.size == 0 or votes.min() < 0 or votes.max() > n:
        raise ValueError(f"votes: expected at least one number, all from 0 to {n}; got {votes}")
    steps = np.arange(n)
    # The numbers of windows with more than i votes for the label, and with more than i against it,
    # are all that the derivatives of the likelihood depend on.
    votes_for = (votes[:, None] > steps).sum(0)
    votes_against = ((n - votes)[:, None] > steps).sum(0)
    mean = np.clip(votes.mean() / n, 0.01, 0.99)
    a, b = mean, 1 - mean
    for _ in range(_ITERATIONS):
        both = len(votes) * (1 / (a + b + steps)).sum()
        new_a = np.clip(a * (votes_for / (a + steps)).sum() / both, *_BOUNDS)
        new_b = np.clip(b * (votes_against / (b + steps)).sum() / both, *_BOUNDS)
        change = max(abs(new_a / a - 1), abs(new_b / b - 1))
        a, b = new_a, new_b
        if change < _TOLERANCE:
            break
    return BetaPrior(float(a), float(b))


def agreement(n: int, min_votes: int, prior: BetaPrior) -> np.ndarray:
    """Computes P(at least `min_votes` of n new observers vote | k of n did), for k = 0..n.

    Args:
      n: Number of observers.
      min_votes: Number of votes needed.
      prior: Distribution of the vote rate.

    Returns:
      (n + 1,) float64 probabilities, increasing in k.

    Raises:
      ValueError: If `min_votes` is not in 1..n.
    """
    if not 1 <= min_votes <= n:
        raise ValueError(f"min_votes={min_votes} is not in 1..{n}")
    enough = np.arange(min_votes, n + 1)
    return np.array(
        [
            np.exp(log_pmf(enough, n, BetaPrior(prior.a + k, prior.b + n - k))).sum()
            for k in range(n + 1)
        ]
    )
