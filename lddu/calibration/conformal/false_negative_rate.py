"""Conformal control of the false-negative rate, overall and within each label."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal.sets import RiskControl, checked

# Sums of fractions are off by rounding errors; within this margin they count as equal.
_ROUNDING = 1e-9


def fit_false_negative_rate(probs: ArrayLike, labels: ArrayLike, level: float) -> RiskControl:
    """Fits one threshold with which a sample misses at most the share `level` of its true labels.

    The loss of a sample is the share of its true labels outside its set. A sample without any label
    cannot miss one: its loss is 0, and it counts in the mean. With n calibration samples the
    threshold is the largest t with

        (sum of the n losses at t + 1) / (n + 1) <= level,

    which is one of the probabilities of true labels. Then the expected loss of a new sample, over
    draws of the calibration set and the sample, is at most `level`. For one given calibration set
    it may be higher.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: False-negative rate allowed, in (0, 1).

    Returns:
      A `RiskControl` of () arrays. With n < 1 / level - 1 no threshold can meet the inequality:
      then the threshold is 0, every set contains every label, and `found` is False. If it is met
      with every true label missed, the threshold is infinite and the sets are empty.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, or `level` is not in (0, 1).

    References:
      Angelopoulos et al., "Conformal Risk Control", ICLR 2024.

    Example:
      >>> from lddu.calibration import conformal
      >>> state = conformal.fit_false_negative_rate([[0.9], [0.7], [0.8]], [[1], [1], [1]], 0.5)
      >>> float(state.threshold), conformal.apply(state, [[0.75], [0.85]]).tolist()
      (0.8, [[False], [True]])
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
    """Fits one threshold per label, with which each label is missed at most at the rate `level`.

    This is class-conditional (Mondrian) conformal prediction: the threshold of a label with n
    positives is the k-th smallest probability of a positive, k = floor(level (n + 1)). Then a new
    positive of the label is missed with probability at most `level`, over draws of the calibration
    set and the positive. This holds for every label, rare ones included.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: False-negative rate allowed, in (0, 1).

    Returns:
      A `RiskControl` of (C,) arrays. A label with n < 1 / level - 1 positives is in every set: its
      threshold is 0 and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, or `level` is not in (0, 1).

    References:
      Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.

    Example:
      >>> from lddu.calibration import conformal
      >>> probs, labels = [[0.9, 0.4], [0.7, 0.6], [0.8, 0.5]], [[1, 0], [1, 0], [1, 1]]
      >>> conformal.fit_false_negative_rate_per_label(probs, labels, 0.5).threshold.tolist()
      [0.8, 0.5]
    """
    probs, labels = checked(probs, labels, level=level)
    positives = labels.sum(0)
    k = np.floor(level * (positives + 1) + _ROUNDING).astype(int)
    scores = np.sort(np.where(labels, probs, np.inf), axis=0)
    index = np.clip(k - 1, 0, len(probs) - 1)[None]
    cut = np.take_along_axis(scores, index, axis=0)[0]
    return RiskControl(np.where(k > 0, cut, 0.0), k > 0)
