"""Few true labels are missed: conformal risk control, overall and within each label."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal.sets import RiskControl, checked

# Sums of fractions come out a rounding error off: what is meant to be equal counts as equal.
_ROUNDING = 1e-9


def fit_false_negative_rate(probs: ArrayLike, labels: ArrayLike, level: float) -> RiskControl:
    """One threshold under which a sample misses at most the share `level` of its true labels.

    The loss of a sample is the share of its true labels outside its set. A sample without any label
    cannot miss one: its loss is 0, and it counts in the mean. With n calibration samples the
    threshold is the largest t with

        (sum of the n losses at t + 1) / (n + 1) <= level,

    found exactly, among the probabilities of true labels. Then the expected loss of a new sample,
    over draws of the calibration set and the sample, is at most `level`. The loss on one given
    calibration set may be above it.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: The false-negative rate allowed, in (0, 1).

    Returns:
      A `RiskControl` of () arrays. With n < 1 / level - 1 no threshold can meet the inequality:
      then the threshold is 0, every set holds every label, and `found` is False. If it holds with
      every true label missed, the threshold is infinite and the sets are empty.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, or `level` is not in (0, 1).

    References:
      Angelopoulos et al., "Conformal Risk Control", ICLR 2024.
    """
    probs, labels = checked(probs, labels, level=level)
    budget = level * (len(probs) + 1) - 1  # for the sum of the losses
    if budget < -_ROUNDING:
        return RiskControl(np.array(0.0), np.array(False))
    shares = labels / np.maximum(labels.sum(1, keepdims=True), 1)
    scores, shares = probs[labels], shares[labels]
    order = np.argsort(scores)
    too_many = np.cumsum(shares[order]) > budget + _ROUNDING
    cut = scores[order[np.argmax(too_many)]] if too_many.any() else np.inf
    return RiskControl(np.array(cut), np.array(True))


def fit_false_negative_rate_per_label(
    probs: ArrayLike, labels: ArrayLike, level: float
) -> RiskControl:
    """A threshold per label, under which each label is missed at most at the rate `level`.

    Class-conditional (Mondrian) conformal prediction: of a label with n positives, the threshold is
    the k-th smallest probability of a positive, k = floor(level (n + 1)). Then a new positive of
    the label is missed with probability at most `level`, over draws of the calibration set and the
    positive. This holds label by label, rare ones included.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: The false-negative rate allowed, in (0, 1).

    Returns:
      A `RiskControl` of (C,) arrays. A label with n < 1 / level - 1 positives is in every set:
      threshold 0, `found` False.

    Raises:
      ValueError: As in `fit_false_negative_rate`.

    References:
      Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.
    """
    probs, labels = checked(probs, labels, level=level)
    positives = labels.sum(0)
    k = np.floor(level * (positives + 1) + _ROUNDING).astype(int)
    scores = np.sort(np.where(labels, probs, np.inf), axis=0)
    index = np.clip(k - 1, 0, len(probs) - 1)[None]
    cut = np.take_along_axis(scores, index, axis=0)[0]
    return RiskControl(np.where(k > 0, cut, 0.0), k > 0)
