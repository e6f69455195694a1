"""Calibration error corrected for what sampling noise adds to it."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.metrics.bins import Average, Binning, Bins, assign, cells
from lddu.metrics.boundary import marked
from lddu.names import named

TOO_FEW = "no bin has two rows or groups with known labels"


@named(returns="labels")
@marked
def ece_debiased(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "mass",
    squared: bool = False,
    groups: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the root mean squared calibration error, corrected for the noise of bin means.

    With r = probability - label, a bin contributes, weighted by its count, the mean of r r' over
    all pairs of its entries that belong to different rows (or groups). Leaving out an entry's
    product with itself takes away what the noise of the labels adds to mean(r)^2, so for
    independent rows this is an unbiased estimate of the squared calibration error at these bins,
    whatever the dependence within a row or group; for true probabilities its expectation is 0 at
    any N. With one label and no groups it is mean(r)^2 - var(r) / n, and where all probabilities of
    a bin are equal, as Kumar et al. assume, their estimator.

    A pair counts with the product of its rows' weights, which keeps the estimate unbiased for
    weights that do not depend on the labels, such as importance weights: n is a number of rows, not
    a sum of weights. So a row of weight k is not k independent rows, but k rows of one group.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins. A bin with entries of one row or group has no pairs and is left out, so
        take at most half as many bins as entries.
      average: "pooled" bins all known entries together; "none" returns one value per label;
        "macro" averages their squares before the root is taken, so that noise cancels.
      binning: Bins of equal "mass" (equally many entries), as in the paper, or of equal "width".
      squared: Whether to return the unbiased square, which noise can make negative. Use it to
        average over folds or test sets; the root clips it at 0 first, which is not unbiased.
      groups: (N,) group of each row, where rows depend on each other, such as windows of one film;
        with None every row is on its own.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float, or (C,) for "none", of at most 1; lower is better. NaN if no bin has two rows or
      groups with known labels; such labels are left out of the macro mean with a warning. Being
      quadratic, it is no smaller than an `ece` without noise would be.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or an option is unknown.

    References:
      Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019.

    Example:
      >>> from lddu import metrics
      >>> round(metrics.ece_debiased([[0.9]] * 4, [[1], [0], [0], [0]], bins=1, squared=True), 4)
      0.36
    """
    checks.choice("average", average, Average)
    probs, labels, weights = checks.entries_of_probs(probs, labels, weights)
    unit = checks.groups(groups, len(probs))
    grid = assign(probs, weights, bins, average != "pooled", binning)
    squares = squared_errors(grid, unit, probs - labels, weights)
    errors = averaging.over_labels(squares, average, TOO_FEW)
    if not squared:
        errors = np.sqrt(np.maximum(errors, 0))  # keeps NaN
    return errors if average == "none" else float(errors)


def squared_errors(
    grid: Bins, unit: np.ndarray, residuals: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Returns the unbiased squares, () or (C,) as the bins, NaN where no bin has two units.

    Args:
      grid: The bins of the entries.
      unit: (N,) number of the row or group of each row.
      residuals: (N, C) probabilities minus labels.
      weights: (N, C) weights of the entries.
    """
    parts = cells(grid, unit, residuals, weights)
    counts = grid.total(weights)

    def over_units(values: np.ndarray | None) -> np.ndarray:
        return np.bincount(parts.bin, values, counts.size).reshape(counts.shape)

    several = over_units(None) > 1
    pairs = np.square(counts) - over_units(np.square(parts.weights))
    products = np.square(grid.total(weights * residuals)) - over_units(np.square(parts.sums))
    kept = np.where(several, counts, 0)
    total = np.sum(kept, axis=-1)
    errors = np.sum(kept * products / np.where(several, pairs, 1), axis=-1)
    return np.where(total > 0, errors / np.where(total > 0, total, 1), np.nan)
