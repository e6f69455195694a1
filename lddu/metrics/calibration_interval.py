"""A confidence interval of the calibration error that holds for true probabilities too."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from lddu.metrics import averaging, checks
from lddu.metrics.bins import Average, Binning, Bins, Cells, assign, cells
from lddu.metrics.boundary import marked
from lddu.metrics.debiased import TOO_FEW, squared_errors
from lddu.metrics.intervals import Interval
from lddu.names import named


@named(returns="labels")
@marked
def ece_interval(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "mass",
    level: float = 0.95,
    groups: ArrayLike | None = None,
    draws: int = 4000,
    seed: int = 0,
    *,
    weights: ArrayLike | None = None,
) -> Interval:
    """Computes a confidence interval of the root mean squared calibration error at fixed bins.

    The value sought is sqrt(sum_k w_k d_k^2), where bin k has a share w_k of all the entries that
    rows like these would have, and a mean d_k of probability - label there: what `ece_debiased`
    estimates, at the bins of this sample. The mean absolute error that `ece` estimates is at most
    that, at equal bins, so the upper end bounds it too.

    The interval holds every value that a test does not reject. The statistic is the unbiased square
    of `ece_debiased`, and its distribution under a value is that for normal bin means around gaps
    of this size and in the observed direction, with the covariance of a jackknife over rows or
    groups, and t-distributed for few of them. So it passes smoothly from true probabilities, where
    the estimate is quadratic in the noise, to untrue ones, where it is nearly normal. For true
    probabilities the lower end is 0 in all but (1 - level) / 2 of samples, so it covers 0 more
    often than the level says. With few groups of strongly dependent rows it covers less often.

    With weights, w_k and d_k are weighted, and so is the jackknife: rows or groups remain what is
    independent, with their weights as they are. So weights are importances: their scale does not
    matter, and a row of weight k is no k rows. To count copies, repeat rows.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins. A bin with entries of one row or group is left out.
      average: "pooled" bins all known entries together; "none" returns one interval per label;
        "macro" is the root of the labels' mean square.
      binning: Bins of equal "mass" (equally many entries) or of equal "width".
      level: Confidence level, between 0 and 1.
      groups: (N,) group of each row, where rows depend on each other; with None every row is on its
        own. The labels of one row may depend on each other either way.
      draws: Number of draws of the statistic's distribution.
      seed: Seed of the draws.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      An `Interval` of floats in [0, 1], or of (C,) arrays for "none", with `ece_debiased` as its
      estimate and `draws` as its replicates. NaN where no bin has two rows or groups with known
      labels; such labels are left out of the macro mean with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, an option is out of range, or there are fewer than two rows or groups with known
        labels.

    References:
      Sun, Chaudhari, Barnett and Dobriban, "A Confidence Interval for the l2 Expected Calibration
        Error", arXiv:2408.08998 (the two regimes, and intervals that respect the bound).
      MacKinnon, Nielsen and Webb, "Fast and Reliable Jackknife and Bootstrap Methods for
        Cluster-Robust Inference", Journal of Applied Econometrics 2023 (jackknife over groups).

    Example:
      >>> from lddu import metrics
      >>> interval = metrics.ece_interval([[0.9]] * 40, [[1], [0]] * 20, bins=1)
      >>> round(interval.estimate, 2), interval.low > 0.2, interval.high < 0.6
      (0.39, True, True)
    """
    checks.choice("average", average, Average)
    checks.at_least_one("draws", draws)
    checks.fraction("level", level)
    entries = checks.entries_of_probs(probs, labels, weights)
    unit = checks.groups(groups, len(entries.values))
    informed = unit[entries.weights.any(1)]
    checks.units(None if groups is None else informed, len(informed), "an interval")

    def interval(entries: checks.Entries) -> tuple[float, float, float]:
        return _interval(entries, unit, bins, average, binning, level, draws, seed)

    if average != "none":
        return Interval(*interval(entries), draws, "inversion")
    columns = [
        checks.Entries(*(x[:, [c]] for x in entries)) for c in range(entries.values.shape[1])
    ]
    ends = np.array([interval(column) for column in columns])
    return Interval(*ends.T, np.full(len(ends), draws), "inversion")


def _interval(
    entries: checks.Entries,
    unit: np.ndarray,
    bins: int,
    average: Average,
    binning: Binning,
    level: float,
    draws: int,
    seed: int,
) -> tuple[float, float, float]:
    """Returns estimate, low and high for all entries together, or for the mean over labels."""
    known = entries.weights.any(1)
    if not known.any():
        return np.nan, np.nan, np.nan
    probs, labels, weights = (x[known] for x in entries)
    unit = checks.groups(unit[known], len(probs))
    grid = assign(probs, weights, bins, average == "macro", binning)
    squares = squared_errors(grid, unit, probs - labels, weights)
    square = averaging.over_labels(squares, average, TOO_FEW)
    if np.isnan(square):
        return np.nan, np.nan, np.nan
    gaps = _gaps(grid, unit, probs, labels, weights)
    noise = _noise(gaps, int(unit.max()), draws, np.random.default_rng(seed))
    square = max(square, 0)
    low, high = (_invert(square, end, *noise) for end in ((1 + level) / 2, (1 - level) / 2))
    return float(np.sqrt(square)), low, high


class _Gaps(NamedTuple):
    """Gaps of the K bins that have two units or more, each times the root of the bin's weight.

    Attributes:
      gaps: (K,) weighted gaps; their squares sum to the squared calibration error.
      covariance: (K + 1, K + 1) covariance of the gaps, and of the factor by which noise in the
        weights multiplies the squared error.
    """

    gaps: np.ndarray
    covariance: np.ndarray


def _gaps(
    grid: Bins, unit: np.ndarray, probs: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> _Gaps:
    """Computes the bins' gaps, and their covariance by leaving out one unit at a time."""
    parts = cells(grid, unit, probs - labels, weights)
    every = grid.total(weights)
    kept = np.bincount(parts.bin, minlength=every.size) > 1
    parts = Cells(*(x[kept[parts.bin]] for x in parts))
    column = np.cumsum(kept) - 1  # of the kept bins among themselves
    at = column[parts.bin]
    counts = every.ravel()[kept]
    totals = np.sum(np.where(kept.reshape(grid.shape), every, 0), axis=-1, keepdims=True)
    entries = np.broadcast_to(totals, grid.shape).ravel()[kept]
    shares = counts / entries / np.count_nonzero(totals)
    means = np.bincount(at, parts.sums, counts.size) / counts
    pulls = (parts.sums - means[at] * parts.weights) / (counts[at] - parts.weights)
    # The squared error is a sum over labels of means over entries, here in units of the total.
    squares = np.square(means) / max(np.sum(shares * np.square(means)), np.finfo(float).tiny)
    label = np.flatnonzero(kept) // grid.shape[-1]
    inner = np.bincount(label, counts / entries * squares)[label]
    shifts = parts.weights * ((squares - inner) / entries / np.count_nonzero(totals))[at]
    units = int(unit.max()) + 1
    influence = sparse.csr_array(
        (
            np.concatenate([np.sqrt(shares)[at] * pulls, shifts]),
            (np.tile(parts.unit, 2), np.concatenate([at, np.full(at.size, counts.size)])),
        ),
        (units, counts.size + 1),
    )
    covariance = (influence.T @ influence).toarray()
    # Labels that all agree would have no variance: an event that was not seen is not impossible.
    effective = np.square(counts) / grid.total(np.square(weights)).ravel()[kept]
    events = grid.total(weights * labels).ravel()[kept] * (effective / counts)
    rate = (events + 1) / (effective + 2)
    diagonal = np.diag_indices(counts.size)
    floor = shares * rate * (1 - rate) / effective
    covariance[diagonal] = np.maximum(covariance[diagonal], floor)
    return _Gaps(np.sqrt(shares) * means, covariance)


def _noise(
    gaps: _Gaps, freedom: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws (a, b, c) of the noise a + b sqrt(t) + c t around a squared error of t.

    With e the noise of the gaps d, |d + e|^2 = |d|^2 + 2 d e + |e|^2; unbiased, without the mean of
    the last; and the noise of the weights is in proportion to |d|^2.
    """
    values, vectors = np.linalg.eigh(gaps.covariance)
    half = rng.standard_normal((-(-draws // 2), len(values)))
    scale = np.sqrt(freedom / rng.chisquare(freedom, (len(half), 1)))
    noise = scale * half @ (vectors * np.sqrt(np.maximum(values, 0))).T
    noise = np.concatenate([noise, -noise])[:draws]
    direction = gaps.gaps if np.any(gaps.gaps) else np.ones_like(gaps.gaps)
    direction = direction / np.linalg.norm(direction)
    square = np.sum(np.square(noise[:, :-1]), axis=1)
    expected = np.trace(gaps.covariance[:-1, :-1])
    return square - expected, 2 * noise[:, :-1] @ direction, noise[:, -1]


def _invert(statistic: float, chance: float, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Returns the calibration error at which the statistic is the quantile for this chance."""

    def quantile(error: float) -> float:
        return np.quantile(error**2 * (1 + c) + error * b + a, chance)

    low, high = 0.0, 1.0
    if quantile(low) >= statistic:
        return low
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if quantile(middle) >= statistic else (middle, high)
    return high
