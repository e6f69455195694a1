"""Calibration error corrected for what sampling noise adds to it."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.metrics.bins import Average, Binning, assign


def ece_debiased(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "mass",
    squared: bool = False,
) -> float | np.ndarray:
    """Computes the root mean squared calibration error, corrected for the noise of bin means.

    With r = probability - label, a bin of n entries contributes, weighted by its count,

        mean(r)^2 - var(r) / n,    var with n - 1 in the denominator.

    The second term is what the noise of n labels adds to the first, so the sum is an unbiased
    estimate of the squared calibration error at these bins; for calibrated probabilities its
    expectation is 0 at any N. Where all probabilities of a bin are equal, as Kumar et al. assume,
    it is their estimator; taking the variance of r rather than that of the labels keeps it unbiased
    for calibrated probabilities that vary within a bin.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft.
      bins: Number of bins. A bin of one entry has no variance and is left out, so take at most
        half as many bins as entries.
      average: "pooled" bins all N * C entries together; "none" returns one value per label;
        "macro" averages their squares before the root is taken, so that noise cancels.
      binning: Bins of equal "mass" (equally many entries), as in the paper, or of equal "width".
      squared: Whether to return the unbiased square, which noise can make negative. Use it to
        average over folds or test sets; the root clips it at 0 first, which is not unbiased.

    Returns:
      A float, or (C,) for "none", of at most 1; lower is better. NaN if every bin has one entry.
      Being quadratic, it is no smaller than an `ece` without noise would be.

    Raises:
      ValueError: If shapes differ, values are NaN or outside [0, 1], or an option is unknown.

    References:
      Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019.

    Example:
      >>> from lddu import metrics
      >>> round(metrics.ece_debiased([[0.9]] * 4, [[1], [0], [0], [0]], bins=1, squared=True), 4)
      0.36
    """
    checks.choice("average", average, Average)
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    groups = assign(probs, bins, average != "pooled", binning)
    residuals = probs - labels
    counts = groups.total()
    means = groups.total(residuals) / np.maximum(counts, 1)
    deviations = residuals - means.ravel()[groups.index]
    noise = groups.total(np.square(deviations)) / np.maximum(counts * (counts - 1), 1)
    weights = np.where(counts > 1, counts, 0)
    total = np.sum(weights, axis=-1)
    errors = np.sum(weights * (np.square(means) - noise), axis=-1)
    errors = np.where(total > 0, errors / np.maximum(total, 1), np.nan)
    if average != "none":
        defined = errors[~np.isnan(errors)]
        errors = np.mean(defined) if defined.size else np.nan
    if not squared:
        errors = np.sqrt(np.maximum(errors, 0))  # keeps NaN
    return errors if average == "none" else float(errors)
