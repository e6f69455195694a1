"""Conformal control of precision (learn then test), overall and within each label."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal import testing
from lddu.calibration.conformal.sets import RiskControl, checked
from lddu.metrics import checks

Empty = Literal["skip", "zero", "one"]

GRID = np.linspace(0.0, 1.0, 101)


def fit_precision(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    confidence: float = 0.9,
    empty: Empty = "skip",
    grid: ArrayLike = GRID,
) -> RiskControl:
    """Fits one threshold with which at least the share `level` of a set is true, on average.

    The loss of a sample is the share of its set that is false (false-discovery proportion). For
    each threshold of the grid the hypothesis that the expected loss exceeds 1 - level is tested
    with a Hoeffding-Bentkus p-value; Holm's correction keeps the probability of any false
    rejection at 1 - confidence. The smallest threshold with a rejected hypothesis is taken. So the
    probability, over draws of independent calibration samples, of a threshold whose expected
    precision is below `level` is at most 1 - confidence.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: Precision wanted, in (0, 1).
      confidence: Probability with which the precision is reached, in (0, 1).
      empty: Precision of a sample whose set is empty, where the ratio is 0 / 0. "skip" leaves such
        samples out, so that precision is the mean over samples with something predicted. "zero"
        counts it as 0 (as MAPIE does, for data where each sample has a label): a threshold must
        then also predict something for most samples. "one" counts it as 1 (the convention of the
        false-discovery rate), which rewards empty sets.
      grid: (G,) thresholds to test, in [0, 1]. They must not depend on the calibration data. The
        fewer they are, the weaker the correction; choose them where the probabilities are.

    Returns:
      A `RiskControl` of () arrays. If no hypothesis is rejected, the threshold is infinite, nothing
      is predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, `level` or `confidence` are not in (0, 1), or `empty` is unknown.

    References:
      Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
      Control", arXiv 2110.01052, 2021.
      Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
      Benjamini and Hochberg, "Controlling the False Discovery Rate", 1995.

    Example:
      >>> import numpy as np
      >>> from lddu.calibration import conformal
      >>> probs, labels = np.tile([[0.9], [0.2]], (50, 1)), np.tile([[1], [0]], (50, 1))
      >>> state = conformal.fit_precision(probs, labels, 0.8, grid=[0.1, 0.5])
      >>> float(state.threshold), bool(state.found)
      (0.5, True)
    """
    checks.choice("empty", empty, Empty)
    probs, labels = checked(probs, labels, level=level, confidence=confidence)
    grid = _checked_grid(grid)
    order = np.argsort(-probs, axis=1)
    rank = np.searchsorted(grid, np.take_along_axis(probs, order, axis=1), side="right")
    false = np.cumsum(~np.take_along_axis(labels, order, axis=1), axis=1)
    proportion = false / np.arange(1, probs.shape[1] + 1)  # of the k most probable labels
    # As the threshold falls past the k-th probability, the loss changes by the k-th step.
    start = 1.0 if empty == "zero" else 0.0
    steps = np.diff(proportion, axis=1, prepend=start)
    losses = start * len(probs) + _count_from(rank, len(grid), steps)
    counted = np.full(len(grid), len(probs))
    if empty == "skip":
        counted = _count_from(rank[:, 0], len(grid))
    p_values = testing.hoeffding_bentkus(losses, counted, 1 - level)
    return _controlled(testing.smallest_rejected(p_values, grid, 1 - confidence))


def fit_precision_per_label(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    confidence: float = 0.9,
    grid: ArrayLike = GRID,
) -> RiskControl:
    """Fits one threshold per label, with which at least the share `level` of predictions is true.

    Works like `fit_precision`, except that the precision is that of one label over the samples for
    which it is predicted, so that empty sets do not arise, and that the p-value is exactly
    binomial. The guarantee holds for each label separately; for all C at once pass the confidence
    1 - (1 - confidence) / C.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: Precision wanted, in (0, 1).
      confidence: Probability with which the precision of a label is reached, in (0, 1).
      grid: (G,) thresholds to test for all labels, in [0, 1]. They must not depend on the
        calibration data.

    Returns:
      A `RiskControl` of (C,) arrays. For a label without a rejected hypothesis the threshold is
      infinite, so that it is never predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, or `level` or `confidence` are not in (0, 1).
    """
    probs, labels = checked(probs, labels, level=level, confidence=confidence)
    grid = _checked_grid(grid)
    rank = np.searchsorted(grid, probs, side="right")
    cuts = []
    for ranks, truth in zip(rank.T, labels.T, strict=True):
        false, predicted = _count_from(ranks[~truth], len(grid)), _count_from(ranks, len(grid))
        p_values = testing.binomial(false, predicted, 1 - level)
        cuts.append(testing.smallest_rejected(p_values, grid, 1 - confidence))
    return _controlled(cuts)


def _checked_grid(grid: ArrayLike) -> np.ndarray:
    checks.same_shape(ndim=1, grid=grid)
    return np.unique(checks.unit_interval("grid", grid))


def _controlled(cuts: float | list[float]) -> RiskControl:
    return RiskControl(np.array(cuts), np.array(np.isfinite(cuts)))


def _count_from(ranks: np.ndarray, size: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Counts the entries (or sums the weights) predicted at each of `size` thresholds."""
    weights = None if weights is None else weights.ravel()
    return np.bincount(ranks.ravel(), weights, minlength=size + 1)[:0:-1].cumsum()[::-1]
