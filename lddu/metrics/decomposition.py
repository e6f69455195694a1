"""What the Brier score is made of: calibration, information, and what nobody could know."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.metrics.bins import Average, Binning, assign


class BrierDecomposition(NamedTuple):
    """Parts of the Brier score, floats or (C,) arrays, all in its unit.

    brier = reliability - resolution + uncertainty + within_variance - within_covariance, exactly.

    Attributes:
      reliability: Mean squared gap between the mean probability and the observed frequency of a
        bin; 0 if calibrated, lower is better.
      resolution: Variance of the observed frequencies of bins around the base rate: how well the
        forecasts separate cases. Higher is better.
      uncertainty: Variance of the labels; base rate (1 - base rate) for hard ones. It belongs to
        the data, not to the model.
      within_variance: Variance of probabilities within their bins.
      within_covariance: Twice the covariance of probabilities and labels within their bins. What
        it exceeds within_variance by is resolution that the bins were too wide to show.
    """

    reliability: float | np.ndarray
    resolution: float | np.ndarray
    uncertainty: float | np.ndarray
    within_variance: float | np.ndarray
    within_covariance: float | np.ndarray


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
      labels: (N, C) labels, soft ones allowed.
      bins: Number of bins.
      average: "pooled" bins all N * C entries together, with one base rate, so that knowing which
        labels are rare counts as resolution; "none" returns one value per label, "macro" their
        mean. Pooled and macro parts both sum to `brier(probs, labels)`.
      binning: As `reliability` takes it.

    Returns:
      A `BrierDecomposition`.

    References:
      Murphy, "A New Vector Partition of the Probability Score", Journal of Applied Meteorology
        1973.
      Stephenson, Coelho and Jolliffe, "Two Extra Components in the Brier Score Decomposition",
        Weather and Forecasting 2008.
    """
    checks.choice("average", average, ("pooled", "macro", "none"))
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    found = assign(probs, bins, average != "pooled", binning)
    axis = None if average == "pooled" else 0
    divisor = np.maximum(found.total(), 1)
    # Each entry takes the means of its bin, so that parts are plain means over entries.
    prob, observed = ((found.total(x) / divisor).ravel()[found.index] for x in (probs, labels))
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


def sharpness(probs: ArrayLike, average: Average = "pooled") -> float | np.ndarray:
    """Variance of the probabilities: how far they dare to leave their mean.

    It looks at forecasts alone. 0 is a model that always says the same, mean p (1 - mean p) one
    that says only 0 and 1; the gap to that bound is the mean of p (1 - p). For calibrated
    probabilities it is their resolution, so that brier = uncertainty - sharpness; for others it
    can be mere over-confidence. "Maximise sharpness subject to calibration" (Gneiting et al.).

    Args:
      probs: (N, C) probabilities.
      average: "pooled" is the variance of all N * C entries around one mean; "none" returns one
        value per label, "macro" their mean.

    Returns:
      A float in [0, 0.25], or (C,) for "none".

    References:
      Murphy and Winkler, "A General Framework for Forecast Verification", Monthly Weather Review
        1987.
      Gneiting, Balabdaoui and Raftery, "Probabilistic Forecasts, Calibration and Sharpness",
        Journal of the Royal Statistical Society B 2007.
    """
    checks.choice("average", average, ("pooled", "macro", "none"))
    checks.same_shape(probs=probs)
    spread = np.var(checks.unit_interval("probs", probs), axis=None if average == "pooled" else 0)
    return spread if average == "none" else float(np.mean(spread))
