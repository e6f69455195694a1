"""Are the probabilities true? Proper scores, reliability diagrams, calibration error.

Shapes: `probs` (N, C) in [0, 1]; `labels` (N, C) in [0, 1], where a soft label is the share of
annotators who chose it. Everything raises ValueError, naming argument and shape, on other values,
NaN, or shapes that differ.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks

CLIP = 1e-7  # about the resolution of float32 at 1: such a model cannot mean more


class Reliability(NamedTuple):
    """A reliability diagram of K equal-width bins; arrays (..., K) lead with C if per label.

    Attributes:
      edges: (K + 1,) bin borders from 0 to 1. A bin holds its left border; the last holds both.
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
    probs: ArrayLike, labels: ArrayLike, bins: int = 15, per_label: bool = False
) -> Reliability:
    """Groups entries by probability and compares it with what was observed.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels, soft ones allowed.
      bins: Number of equal-width bins.
      per_label: One diagram per label rather than one over all N * C entries.

    Returns:
      A `Reliability` of (bins,) arrays, or (C, bins) per label.
    """
    probs, labels = checks.probs_and_labels(probs, labels, soft=True)
    if bins < 1:
        raise ValueError(f"bins={bins} is not at least 1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Comparing with the inner edges themselves, as rounding in p * bins would misplace some p.
    index = np.searchsorted(edges[1:-1], probs, side="right")
    shape = (bins,)
    if per_label:
        shape = (probs.shape[1], bins)
        index = index + bins * np.arange(probs.shape[1])

    def total(weights: np.ndarray | None = None) -> np.ndarray:
        weights = None if weights is None else weights.ravel()
        return np.bincount(index.ravel(), weights, minlength=np.prod(shape)).reshape(shape)

    counts = total()
    divisor = np.where(counts > 0, counts, np.nan)
    return Reliability(edges, counts, total(probs) / divisor, total(labels) / divisor)


def ece(
    probs: ArrayLike,
    labels: ArrayLike,
    bins: int = 15,
    average: Literal["pooled", "macro", "none"] = "pooled",
) -> float | np.ndarray:
    """Expected calibration error: mean |observed - mean probability| over bins, by their counts.

    This is the calibration of the probability of each label, not of the top class. On few samples
    it is biased upwards, in the order of sqrt(bins / N), and it is blind to how informative the
    probabilities are: read it beside `nll`.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels, soft ones allowed.
      bins: Number of equal-width bins.
      average: "pooled" bins all N * C entries together, so that labels' errors may cancel; "none"
        returns one value per label, "macro" their mean.

    Returns:
      A float in [0, 1], or (C,) for "none"; lower is better.

    References:
      Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    checks.choice("average", average, ("pooled", "macro", "none"))
    diagram = reliability(probs, labels, bins, per_label=average != "pooled")
    gaps = np.nan_to_num(np.abs(diagram.observed - diagram.mean_prob))  # empty bins weigh nothing
    errors = np.sum(diagram.counts * gaps, axis=-1) / np.sum(diagram.counts, axis=-1)
    return errors if average == "none" else float(np.mean(errors))
