"""The parts of the Brier score: calibration, information, and the noise of the labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.metrics.bins import Average, Binning, assign
from lddu.metrics.boundary import marked
from lddu.names import named


class BrierDecomposition(NamedTuple):
    """The parts of the Brier score: floats, or (C,) arrays per label.

    brier = reliability - resolution + uncertainty + within_variance - within_covariance, exactly.

    Attributes:
      reliability: Mean squared gap between the mean probability and the observed frequency of a
        bin; 0 if calibrated, lower is better.
      resolution: Variance of the observed frequencies of bins around the base rate: how well the
        forecasts separate cases. Higher is better.
      uncertainty: Variance of the labels; base rate (1 - base rate) for hard ones. It belongs to
        the data, not to the model.
      within_variance: Variance of probabilities within their bins.
      within_covariance: Twice the covariance of probabilities and labels within their bins. Its
        excess over within_variance is resolution that the bins are too wide to show.
    """

    reliability: float | np.ndarray
    resolution: float | np.ndarray
    uncertainty: float | np.ndarray
    within_variance: float | np.ndarray
    within_covariance: float | np.ndarray


@named(returns="labels")
@marked
def brier_decomposition(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
    *,
    weights: ArrayLike | None = None,
) -> BrierDecomposition:
    """Splits `brier` into reliability, resolution, uncertainty and two terms within bins.

    The three classical parts alone sum to the score only if the probabilities in a bin are equal;
    the two terms within bins close the gap. On few samples reliability and resolution are both too
    high, by the noise of the bins' frequencies.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins.
      average: "pooled" bins all known entries together, with one base rate, so that knowing which
        labels are rare counts as resolution; "none" returns one value per label, "macro" their
        mean. Pooled parts sum to `brier(probs, labels)`, and so do macro parts if all labels are
        known.
      binning: Bins of equal "width" or of equal "mass" (equally many entries).
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A `BrierDecomposition`. A label that is never known is NaN, and left out of the macro mean
      with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or an option is unknown.

    References:
      Murphy, "A New Vector Partition of the Probability Score", Journal of Applied Meteorology
        1973.
      Stephenson, Coelho and Jolliffe, "Two Extra Components in the Brier Score Decomposition",
        Weather and Forecasting 2008.

    Example:
      >>> from lddu import metrics
      >>> parts = metrics.brier_decomposition([[0.25], [0.25], [0.75]], [[0], [1], [1]])
      >>> round(parts.reliability, 4), round(parts.resolution, 4)
      (0.0625, 0.0556)
    """
    checks.choice("average", average, Average)
    probs, labels, weights = checks.entries_of_probs(probs, labels, weights)
    grid = assign(probs, weights, bins, average != "pooled", binning)
    axis = None if average == "pooled" else 0
    counts = grid.total(weights)
    divisor = np.where(counts > 0, counts, 1)
    # Each entry takes the means of its bin, so that parts are plain means over entries.
    prob, observed = (
        (grid.total(weights * x) / divisor).ravel()[grid.index] for x in (probs, labels)
    )
    rate = _mean(labels, weights, axis)
    parts = (
        np.square(prob - observed),
        np.square(observed - rate),
        np.square(labels - rate),
        np.square(probs - prob),
        2 * (probs - prob) * (labels - observed),
    )
    means = [np.atleast_1d(_mean(part, weights, axis)) for part in parts]
    if average == "none":
        return BrierDecomposition(*means)
    kept = averaging.defined(means[0])
    return BrierDecomposition(*(float(np.mean(x[kept])) for x in means))


@named(returns="labels")
def sharpness(
    probs: ArrayLike,
    average: Average = "pooled",
    *,
    labels: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the sharpness: the variance of the probabilities.

    It looks at forecasts alone. It is 0 for a model that always gives the same probability and
    mean p (1 - mean p) for one that gives only 0 and 1; the gap to that bound is the mean of
    p (1 - p). For calibrated probabilities it is their resolution, so that
    brier = uncertainty - sharpness; for others it can be mere over-confidence.

    Args:
      probs: (N, C) probabilities.
      average: "pooled" is the variance of all entries around one mean; "none" returns one value per
        label, "macro" their mean.
      labels: (N, C) labels, NaN where unknown, to look only at entries that are known; None looks
        at all. Their values do not matter.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 0.25], or (C,) for "none". A label that is never known is NaN, and left out of
      the macro mean with a warning.

    Raises:
      ValueError: If shapes do not fit, `probs` are NaN or outside [0, 1], or `average` is unknown.

    References:
      Murphy and Winkler, "A General Framework for Forecast Verification", Monthly Weather Review
        1987.
      Gneiting, Balabdaoui and Raftery, "Probabilistic Forecasts, Calibration and Sharpness",
        Journal of the Royal Statistical Society B 2007 (maximise it subject to calibration).
    """
    checks.choice("average", average, Average)
    labels = np.zeros(np.shape(probs)) if labels is None else labels
    probs, _, weights = checks.entries_of_probs(probs, labels, weights)
    axis = None if average == "pooled" else 0
    spread = _mean(np.square(probs - _mean(probs, weights, axis)), weights, axis)
    return averaging.over_labels(spread, average)


def _mean(values: np.ndarray, weights: np.ndarray, axis: int | None) -> np.ndarray:
    """Returns weighted means of values (N, C), NaN for labels without any weight."""
    total = np.sum(weights, axis=axis)
    return np.sum(weights * values, axis=axis) / np.where(total > 0, total, np.nan)
