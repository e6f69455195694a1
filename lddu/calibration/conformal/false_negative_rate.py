"""Conformal control of the false-negative rate, overall and within each label."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal import ranking, sample
from lddu.calibration.conformal.ranking import Rank
from lddu.calibration.conformal.sample import Sample
from lddu.calibration.conformal.sets import RiskControl
from lddu.calibration.groups import shares_of_rows
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
    weights: ArrayLike | None = None,
    max_weight: float | None = None,
) -> RiskControl:
    """Fits one threshold with which a sample misses at most the share `level` of its true labels.

    The loss of a sample is the share of its true labels outside its set. With n calibration
    samples the threshold is the largest t with

        (sum of the n losses at t + 1) / (n + 1) <= level,

    which is one of the scores of true labels. Then the expected loss of a new sample, over draws
    of the calibration set and the sample, is at most `level`. For one given calibration set it may
    be higher.

    Where labels are unknown, the loss is the share missed of the true labels that are known, and
    the guarantee is that of a new sample of which labels become known in the same way. It says
    nothing about labels that stay unknown.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}; NaN where unknown. Samples of which none is known are left
        out.
      level: False-negative rate allowed, in (0, 1).
      empty: Loss of a sample without any (known) true label, where the share is 0 / 0. "skip"
        leaves such samples out: the guarantee is that of a new sample which has a label. "zero"
        counts it as 0: the guarantee is that of any new sample, and those which have a label may
        miss more, `level` divided by their proportion.
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then n counts groups, and the loss of a group is the mean over its rows that count
        (groups without such rows are left out). The guarantee is that of the mean loss in a new
        group, so of a row drawn at random from it. None takes rows as exchangeable.
      rank: What the labels of a sample are ranked by. "share" takes the expected share of the
        sample's true labels (`expected_share`), the loss that leaving the label out costs; with
        good probabilities sets are smaller at the same rate. The guarantee is the same.
      weights: (N,) weights of the rows, >= 0, for new samples of another distribution: in
        proportion to how much more likely a row is there than in the calibration data (the ratio of
        densities under covariate shift). The threshold is then the largest t with

            (sum of weight * loss at t + max_weight) / (sum of weights + max_weight) <= level.

        With groups, all rows of a group have one weight, or 0, which leaves a row out. None: new
        samples are exchangeable with these.
      max_weight: Largest weight of a new sample, or group, in the unit of `weights`. The left side
        above grows with it, so that the guarantee holds for all that weigh less. None takes the
        largest weight of those that count: then the expected loss is at most `level` plus the
        probability that a new sample weighs more than that.

    Returns:
      A `RiskControl` of () arrays. With n < 1 / level - 1 no threshold can meet the inequality:
      then the threshold is 0, every set contains every label, and `found` is False. If it is met
      with every true label missed (only with "zero"), the threshold is infinite and the sets are
      empty.

    Raises:
      ValueError: If shapes differ, values are out of range, labels are soft, no known label is
        positive, `level` is not in (0, 1), weights differ within a group, `max_weight` is not
        positive, or `empty` or `rank` is unknown.

    References:
      Angelopoulos et al., "Conformal Risk Control", ICLR 2024.
      Lee, Barber and Willett, "Distribution-Free Inference with Hierarchical Data", 2023
      (arXiv:2306.06342), for groups.
      Tibshirani et al., "Conformal Prediction Under Covariate Shift", NeurIPS 2019, for weights.

    Example:
      >>> from lddu.calibration import conformal
      >>> state = conformal.fit_false_negative_rate([[0.9], [0.7], [0.8]], [[1], [1], [1]], 0.5)
      >>> float(state.threshold), conformal.apply(state, [[0.75], [0.85]]).tolist()
      (0.8, [[False], [True]])
    """
    checks.choice("empty", empty, Empty)
    sample.largest_weight(max_weight)
    data = sample.read(probs, labels, groups, weights, per_label=False, level=level)
    counted = data.labels.any(1) | (empty == "zero")
    shares = data.labels / np.maximum(data.labels.sum(1, keepdims=True), 1)
    scores = ranking.scores(data.probs, rank)
    cut, found = _largest_cut(data, scores, data.labels, shares, counted, level, max_weight)
    return RiskControl(np.array(cut), np.array(found), rank)


@named(returns="state")
def fit_false_negative_rate_per_label(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    max_weight: float | None = None,
) -> RiskControl:
    """Fits one threshold per label, with which each label is missed at most at the rate `level`.

    This is class-conditional (Mondrian) conformal prediction: the threshold of a label with n
    positives is the k-th smallest probability of a positive, k = floor(level (n + 1)). Then a new
    positive of the label is missed with probability at most `level`, over draws of the calibration
    set and the positive. This holds for every label, rare ones included. Where labels are unknown,
    n counts known positives and the guarantee is that of a new positive that becomes known: of any
    new positive, if whether it becomes known does not depend on its probability.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}; NaN where unknown.
      level: False-negative rate allowed, in (0, 1).
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then n counts the groups with positives of the label, each by the share of them that
        is missed, and the guarantee is that of a positive drawn at random from a new group that
        has any. None takes rows as exchangeable.
      weights: (N,) weights of the rows, >= 0, for new samples of another distribution, as in
        `fit_false_negative_rate`.
      max_weight: Largest weight of a new positive, or of its group, in the unit of `weights`; None
        takes the largest weight of a known positive of the label, and then the probability that a
        new one weighs more adds to `level`.

    Returns:
      A `RiskControl` of (C,) arrays. A label with n < 1 / level - 1 is in every set: its threshold
      is 0 and `found` is False.

    Raises:
      ValueError: If shapes differ, values are out of range, labels are soft, no known label is
        positive, `level` is not in (0, 1), weights differ within a group, or `max_weight` is not
        positive.

    Warns:
      UnknownLabelWarning: If a label has no known entry.

    References:
      Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.

    Example:
      >>> from lddu.calibration import conformal
      >>> probs, labels = [[0.9, 0.4], [0.7, 0.6], [0.8, 0.5]], [[1, 0], [1, 0], [1, 1]]
      >>> conformal.fit_false_negative_rate_per_label(probs, labels, 0.5).threshold.tolist()
      [0.8, 0.5]
    """
    sample.largest_weight(max_weight)
    data = sample.read(probs, labels, groups, weights, per_label=True, level=level)
    columns = zip(data.probs.T, data.labels.T, strict=True)
    cuts = [_largest_cut(data, p, y, y, y, level, max_weight) for p, y in columns]
    return RiskControl(*map(np.array, zip(*cuts, strict=True)))


def _largest_cut(
    data: Sample,
    scores: np.ndarray,
    labels: np.ndarray,
    shares: np.ndarray,
    counted: np.ndarray,
    level: float,
    max_weight: float | None,
) -> tuple[float, bool]:
    """Returns the largest threshold that keeps the level, and whether there is one.

    Args:
      data: Groups and weights of the rows.
      scores: (N, C) or (N,) scores of the labels.
      labels: Which labels are true, of the same shape.
      shares: Loss of leaving out each true label, of the same shape.
      counted: (N,) bool, which rows count.
      level: Loss allowed.
      max_weight: Largest weight of a new group, or None.
    """
    if not counted.any():
        return 0.0, False
    # In units of the new group's weight.
    weight = data.weight / (max_weight or data.weight[counted].max())
    total = weight[counted][np.unique(data.unit[counted], return_index=True)[1]].sum()
    budget = level * (total + 1) - 1  # for the sum of the losses
    if budget < -_ROUNDING:
        return 0.0, False
    row = weight * shares_of_rows(data.unit, counted)
    losses = (row * shares.T).T[labels]
    order = np.argsort(scores[labels])
    too_many = np.cumsum(losses[order]) > budget + _ROUNDING
    return scores[labels][order[np.argmax(too_many)]] if too_many.any() else np.inf, True
