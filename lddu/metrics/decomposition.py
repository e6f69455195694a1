"""The parts of the Brier score: calibration, information, and the noise of the labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
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
) -> BrierDecomposition:
    """Splits `brier` into reliability, resolution, uncertainty and two terms within bins.

    The three classical parts alone sum to the score only if the probabilities in a bin are equal;
    the two terms within bins close the gap. On few samples reliability and resolution are both too
    high, by the noise of the bins' frequencies.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft.
      bins: Number of bins.
      average: "pooled" bins all N * C entries together, with one base rate, so that knowing which
        labels are rare counts as resolution; "none" returns one value per label, "macro" their
        mean. Pooled and macro parts both sum to `brier(probs, labels)`.
      binning: Bins of equal "width" or of equal "mass" (equally many entries).

    Returns:
      A `BrierDecomposition`.

    Raises:
      ValueError: If shapes differ, values are NaN or outside [0, 1], or an option is unknown.

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
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    groups = assign(probs, bins, average != "pooled", binning)
    axis = None if average == "pooled" else 0
    divisor = np.maximum(groups.total(), 1)
    # Each entry takes the means of its bin, so that parts are plain means over entries.
    prob, observed = ((groups.total(x) / divisor).ravel()[groups.index] for x in (probs, labels))
    rate = np.mean(labels, axis=axis)
    parts = (
        np.square(prob - observed),
        np.square(observed - rate),
        np.square(labels - rate),
        np.square(probs - prob),
        2 * (probs - prob) * (labels - observed),
    )
    means = (np.mean(part, axis=axis) for part in parts)
    return BrierDecomposition(*(x if average == "none" else float(np.mean(x)) for x in means))


@named(returns="labels")
def sharpness(probs: ArrayLike, average: Average = "pooled") -> float | np.ndarray:
    """Computes the sharpness: the variance of the probabilities.

    It looks at forecasts alone. It is 0 for a model that always gives the same probability and
    mean p (1 - mean p) for one that gives only 0 and 1; the gap to that bound is the mean of
    p (1 - p). For calibrated probabilities it is their resolution, so that
    brier = uncertainty - sharpness; for others it can be mere over-confidence.

    Args:
      probs: (N, C) probabilities.
      average: "pooled" is the variance of all N * C entries around one mean; "none" returns one
        value per label, "macro" their mean.

    Returns:
      A float in [0, 0.25], or (C,) for "none".

    Raises:
      ValueError: If `probs` are not (N, C), are NaN or outside [0, 1], or `average` is unknown.

    References:
      Murphy and Winkler, "A General Framework for Forecast Verification", Monthly Weather Review
        1987.
      Gneiting, Balabdaoui and Raftery, "Probabilistic Forecasts, Calibration and Sharpness",
        Journal of the Royal Statistical Society B 2007 (maximise it subject to calibration).
    """
    checks.choice("average", average, Average)
    checks.same_shape(probs=probs)
    spread = np.var(checks.unit_interval("probs", probs), axis=None if average == "pooled" else 0)
    return spread if average == "none" else float(np.mean(spread))
