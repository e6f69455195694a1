"""Are the probabilities true? Proper scores, reliability diagrams, calibration error.

`probs` are (N, C) probabilities; `labels` (N, C) in [0, 1], where a soft label is the share of
annotators who chose it, and NaN an unknown one, which has no part. A row of weight k counts as k
rows that are equal.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.metrics.bins import Average, Binning, assign
from lddu.metrics.boundary import marked
from lddu.names import named

CLIP = 1e-7  # about the resolution of float32 at 1: finer distinctions there mean nothing


class Reliability(NamedTuple):
    """A reliability diagram of K bins; with one per label, arrays are (C, K) rather than (K,).

    Attributes:
      edges: (K + 1,) bin borders from 0 to 1, or (C, K + 1) for bins of equal mass per label. A bin
        includes its left border; the last includes both.
      counts: (K,) or (C, K) number of known entries in each bin; with weights, their sum.
      mean_prob: (K,) or (C, K) mean probability in each bin; NaN where it is empty.
      observed: (K,) or (C, K) mean label in each bin; NaN where it is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_prob: np.ndarray
    observed: np.ndarray


@named
def nll(probs: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Computes the mean negative log-likelihood per entry (binary cross-entropy).

    Args:
      probs: (N, C) probabilities, clipped to [1e-7, 1 - 1e-7] so that an entry costs at
        most 16.2.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Weighted mean over known entries of -(y log p + (1 - y) log(1 - p)), in nats; lower is better.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, or no label is
        known.

    Example:
      >>> from lddu import metrics
      >>> round(metrics.nll([[0.5, 0.9]], [[1, 1]]), 4)
      0.3993
    """
    probs, labels, weights = checks.entries_of_probs(probs, labels, weights)
    probs = np.clip(probs, CLIP, 1 - CLIP)
    gain = labels * np.log(probs) + (1 - labels) * np.log1p(-probs)
    return float(-np.sum(weights * gain) / np.sum(weights))


@named
def brier(probs: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Computes the Brier score: the mean squared difference of probabilities and labels.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Weighted mean over known entries of (p - y)^2, in [0, 1]; lower is better. For a soft label y,
      the mean over its annotators' votes would be higher by y (1 - y), for every model.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, or no label is
        known.

    References:
      Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.

    Example:
      >>> from lddu import metrics
      >>> metrics.brier([[0.5, 1.0]], [[1, 1]])
      0.125
    """
    probs, labels, weights = checks.entries_of_probs(probs, labels, weights)
    return float(np.sum(weights * np.square(probs - labels)) / np.sum(weights))


@named
def reliability(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    per_label: bool = False,
    binning: Binning = "width",
    *,
    weights: ArrayLike | None = None,
) -> Reliability:
    """Groups entries by probability and compares each group with the observed frequency.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins.
      per_label: Whether each label gets a diagram of its own; otherwise one covers all
        known entries.
      binning: Bins of equal "width", or of equal "mass": equally many entries in each, give or take
        one. Equal probabilities stay in one bin, so ties make masses unequal and may leave bins
        empty.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A `Reliability` of (bins,) arrays, or (C, bins) per label.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or an option is unknown.

    Example:
      >>> from lddu import metrics
      >>> metrics.reliability([[0.2, 0.3, 0.9]], [[0, 1, 1]], bins=2).observed.tolist()
      [0.5, 1.0]
    """
    probs, labels, weights = checks.entries_of_probs(probs, labels, weights)
    grid = assign(probs, weights, bins, per_label, binning)
    counts = grid.total(weights)
    divisor = np.where(counts > 0, counts, np.nan)
    means = (grid.total(weights * values) / divisor for values in (probs, labels))
    return Reliability(grid.edges, counts, *means)


@named(returns="labels")
@marked
def ece(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the expected calibration error: mean |observed - mean probability| over bins.

    Bins are weighted by their counts. This is the calibration of the probability of each label, not
    of the top class. On few samples it is biased upwards, in the order of sqrt(bins / N):
    `ece_noise_floor` says how far, and `ece_debiased` corrects for it. It is blind to how
    informative the probabilities are: read it beside `nll`.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins.
      average: "pooled" bins all known entries together, so that errors of labels may cancel; "none"
        returns one value per label, "macro" their mean.
      binning: Bins of equal "width", or of equal "mass" (equally many entries), which gives the
        adaptive calibration error: it does not lump the many small probabilities of rare labels
        into one bin.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; lower is better. A label that is never known is NaN,
      and left out of the macro mean with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or an option is unknown.

    References:
      Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
      Nixon et al., "Measuring Calibration in Deep Learning", CVPR Workshops 2019 (adaptive bins).

    Example:
      >>> from lddu import metrics
      >>> probs, labels = [[0.25], [0.25], [0.75], [0.75]], [[0], [1], [1], [1]]
      >>> metrics.ece(probs, labels)
      0.25
      >>> metrics.ece(probs, labels, binning="mass")
      0.25
    """
    counts, gaps = _gaps(probs, labels, bins, average, binning, weights)
    total = np.sum(counts, axis=-1)
    errors = np.sum(counts * gaps, axis=-1) / np.where(total > 0, total, np.nan)
    return averaging.over_labels(errors, average)


@named(returns="labels")
@marked
def mce(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the maximum calibration error: the largest |observed - mean probability| of a bin.

    The bin with the fewest entries often decides it, and one entry can make it 1; bins of equal
    mass avoid the worst of that.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      bins: Number of bins.
      average: "pooled" bins all known entries together; "none" returns one value per label, "macro"
        their mean.
      binning: Bins of equal "width" or of equal "mass" (equally many entries).
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A float in [0, 1], or (C,) for "none"; lower is better. A label that is never known is NaN,
      and left out of the macro mean with a warning.

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, no label is
        known, or an option is unknown.

    References:
      Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
    """
    counts, gaps = _gaps(probs, labels, bins, average, binning, weights)
    errors = np.where(counts.any(-1), np.max(gaps, axis=-1), np.nan)
    return averaging.over_labels(errors, average)


def _gaps(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int,
    average: str,
    binning: Binning,
    weights: ArrayLike | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns counts and |observed - mean probability| of the bins, 0 where a bin is empty."""
    checks.choice("average", average, Average)
    per_label = average != "pooled"
    diagram = reliability(probs, labels, bins, per_label, binning, weights=weights)
    return diagram.counts, np.nan_to_num(np.abs(diagram.observed - diagram.mean_prob))
