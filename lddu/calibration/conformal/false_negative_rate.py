"""Conformal control of the false-negative rate, overall and within each label."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal import ranking
from lddu.calibration.conformal.ranking import Rank
from lddu.calibration.conformal.sets import RiskControl, checked
from lddu.calibration.groups import weights
from lddu.metrics import checks
from lddu.names import named

Empty = Literal["skip", "zero"]

# Sums of fractions are off by rounding errors; within this margin they count as equal.
_ROUNDING = 1e-9


@named(returns="state")
def fit_false_negative_rate(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    empty: Empty = "skip",
    groups: ArrayLike | None = None,
    rank: Rank = "probability",
) -> RiskControl:
    """Fits one threshold with which a sample misses at most the share `level` of its true labels.

    The loss of a sample is the share of its true labels outside its set. With n calibration
    samples the threshold is the largest t with

        (sum of the n losses at t + 1) / (n + 1) <= level,

    which is one of the scores of true labels. Then the expected loss of a new sample, over draws
    of the calibration set and the sample, is at most `level`. For one given calibration set it may
    be higher.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: False-negative rate allowed, in (0, 1).
      empty: Loss of a sample without any true label, where the share is 0 / 0. "skip" leaves such
        samples out: the guarantee is that of a new sample which has a label. "zero" counts it as
        0: the guarantee is that of any new sample, and those which have a label may miss more,
        `level` divided by their proportion.
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then n counts groups, and the loss of a group is the mean over its rows that count
        (groups without such rows are left out). The guarantee is that of the mean loss in a new
        group, so of a row drawn at random from it. None takes rows as exchangeable.
      rank: What the labels of a sample are ranked by. "share" takes the expected share of the
        sample's true labels (`expected_share`), the loss that leaving the label out costs; with
        good probabilities sets are smaller at the same rate. The guarantee is the same.

    Returns:
      A `RiskControl` of () arrays. With n < 1 / level - 1 no threshold can meet the inequality:
      then the threshold is 0, every set contains every label, and `found` is False. If it is met
      with every true label missed (only with "zero"), the threshold is infinite and the sets are
      empty.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, `level` is not in (0, 1), or `empty` or `rank` is unknown.

    References:
      Angelopoulos et al., "Conformal Risk Control", ICLR 2024.
      Lee, Barber and Willett, "Distribution-Free Inference with Hierarchical Data", 2023
      (arXiv:2306.06342), for groups.

    Example:
      >>> from lddu.calibration import conformal
      >>> state = conformal.fit_false_negative_rate([[0.9], [0.7], [0.8]], [[1], [1], [1]], 0.5)
      >>> float(state.threshold), conformal.apply(state, [[0.75], [0.85]]).tolist()
      (0.8, [[False], [True]])
    """
    checks.choice("empty", empty, Empty)
    probs, labels = checked(probs, labels, level=level)
    unit = checks.groups(groups, len(probs))
    counted = labels.any(1) | (empty == "zero")
    shares = labels / np.maximum(labels.sum(1, keepdims=True), 1)
    cut, found = _largest_cut(ranking.scores(probs, rank), labels, shares, counted, unit, level)
    return RiskControl(np.array(cut), np.array(found), rank)


@named(returns="state")
def fit_false_negative_rate_per_label(
    probs: ArrayLike, labels: ArrayLike, level: float, groups: ArrayLike | None = None
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
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then n counts the groups with positives of the label, each by the share of them that
        is missed, and the guarantee is that of a positive drawn at random from a new group that
        has any. None takes rows as exchangeable.

    Returns:
      A `RiskControl` of (C,) arrays. A label with n < 1 / level - 1 is in every set: its threshold
      is 0 and `found` is False.

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
    unit = checks.groups(groups, len(probs))
    cuts = [_largest_cut(p, y, y, y, unit, level) for p, y in zip(probs.T, labels.T, strict=True)]
    return RiskControl(*map(np.array, zip(*cuts, strict=True)))


def _largest_cut(
    scores: np.ndarray,
    labels: np.ndarray,
    shares: np.ndarray,
    counted: np.ndarray,
    unit: np.ndarray,
    level: float,
) -> tuple[float, bool]:
    """Returns the largest threshold that keeps the level, and whether there is one.

    Args:
      scores: (N, C) or (N,) scores of the labels.
      labels: Which labels are true, of the same shape.
      shares: Loss of leaving out each true label, of the same shape.
      counted: (N,) bool, which rows count.
      unit: (N,) group of each row, counted from 0.
      level: Loss allowed.
    """
    row = weights(unit, counted)
    # A group's weights sum to 1, so their sum over all rows is the number of groups that count.
    budget = level * (round(row.sum()) + 1) - 1  # for the sum of the losses
    if budget < -_ROUNDING:
        return 0.0, False
    losses = (row * shares.T).T[labels]
    order = np.argsort(scores[labels])
    too_many = np.cumsum(losses[order]) > budget + _ROUNDING
    return scores[labels][order[np.argmax(too_many)]] if too_many.any() else np.inf, True
