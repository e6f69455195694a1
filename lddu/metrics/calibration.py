"""Are the probabilities true? Proper scores, reliability diagrams, calibration error.

Shapes: `probs` (N, C) in [0, 1]; `labels` (N, C) in [0, 1], where a soft label is the share of
annotators who chose it. Everything raises ValueError, naming argument and shape, on other values,
NaN, or shapes that differ.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.metrics.bins import Average, Binning, assign

CLIP = 1e-7  # about the resolution of float32 at 1: such a model cannot mean more


class Reliability(NamedTuple):
    """A reliability diagram of K bins; arrays (..., K) lead with C if per label.

    Attributes:
      edges: (K + 1,) bin borders from 0 to 1. A bin holds its left border; the last holds both.
        (C, K + 1) for bins of equal mass per label.
      counts: (..., K) entries in each bin.
      mean_prob: (..., K) mean probability in each bin; NaN where it is empty.
      observed: (..., K) mean label in each bin; NaN where it is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_prob: np.ndarray
    observed: np.ndarray


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Mean negative log-likelihood per entry in nats (binary cross-entropy); lower is better.

    Args:
      probs: (N, C) probabilities, clipped to [1e-7, 1 - 1e-7] so that an entry costs at
        most 16.2.
      labels: (N, C) labels, soft ones allowed.

    Returns:
      Mean over the N * C entries of -(y log p + (1 - y) log(1 - p)).
    """
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    probs = np.clip(probs, CLIP, 1 - CLIP)
    return float(-np.mean(labels * np.log(probs) + (1 - labels) * np.log1p(-probs)))


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the N * C entries of (p - y)^2; lower is better. Soft labels are allowed.

    References:
      Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.
    """
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    return float(np.mean(np.square(probs - labels)))


def reliability(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    per_label: bool = False,
    binning: Binning = "width",
) -> Reliability:
    """Groups entries by probability and compares it with what was observed.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels, soft ones allowed.
      bins: Number of bins.
      per_label: One diagram per label rather than one over all N * C entries.
      binning: Bins of equal "width", or of equal "mass": as many entries in each, give or take one.
        Equal probabilities stay in one bin, so ties make masses unequal and may leave bins empty.

    Returns:
      A `Reliability` of (bins,) arrays, or (C, bins) per label.
    """
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    found = assign(probs, bins, per_label, binning)
    counts = found.total()
    divisor = np.where(counts > 0, counts, np.nan)
    return Reliability(
        found.edges, counts, found.total(probs) / divisor, found.total(labels) / divisor
    )


def ece(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
) -> float | np.ndarray:
    """Expected calibration error: mean |observed - mean probability| over bins, by their counts.

    This is the calibration of the probability of each label, not of the top class. On few samples
    it is biased upwards, in the order of sqrt(bins / N): `ece_noise_floor` says how far, and
    `ece_debiased` corrects for it. It is blind to how informative the probabilities are: read it
    beside `nll`.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels, soft ones allowed.
      bins: Number of bins.
      average: "pooled" bins all N * C entries together, so that labels' errors may cancel; "none"
        returns one value per label, "macro" their mean.
      binning: As `reliability` takes it. "mass" gives the adaptive calibration error, which does
        not lump the many small probabilities of rare labels into one bin.

    Returns:
      A float in [0, 1], or (C,) for "none"; lower is better.

    References:
      Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
      Nixon et al., "Measuring Calibration in Deep Learning", CVPR Workshops 2019 (adaptive bins).
    """
    counts, gaps = _gaps(probs, labels, bins, average, binning)
    errors = np.sum(counts * gaps, axis=-1) / np.sum(counts, axis=-1)
    return errors if average == "none" else float(np.mean(errors))


def mce(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
) -> float | np.ndarray:
    """Maximum calibration error: the largest |observed - mean probability| of any bin.

    The bin with the fewest entries often decides it, and one entry can make it 1; bins of equal
    mass avoid the worst of that. Arguments and result as in `ece`.

    References:
      Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    errors = np.max(_gaps(probs, labels, bins, average, binning)[1], axis=-1)
    return errors if average == "none" else float(np.mean(errors))


def _gaps(
    probs: ArrayLike, labels: ArrayLike, bins: int, average: str, binning: str
) -> tuple[np.ndarray, np.ndarray]:
    """Counts and |observed - mean probability| of bins (..., K), 0 where a bin is empty."""
    checks.choice("average", average, ("pooled", "macro", "none"))
    diagram = reliability(probs, labels, bins, average != "pooled", binning)
    return diagram.counts, np.nan_to_num(np.abs(diagram.observed - diagram.mean_prob))
