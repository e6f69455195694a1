"""Most of what is predicted is true: learn then test, overall and within each label."""

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
    """One threshold under which the share `level` of a sample's set is true, on average.

    The loss of a sample is the share of its set that is false (false-discovery proportion). For
    each threshold of the grid the hypothesis that the expected loss exceeds 1 - level is tested
    with a Hoeffding-Bentkus p-value; Holm's correction keeps the probability of any false
    rejection at 1 - confidence. Of the rejected hypotheses the smallest threshold is taken. So the
    probability, over draws of independent calibration samples, that a threshold is found whose
    expected precision is below `level` is at most 1 - confidence.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: The precision wanted, in (0, 1).
      confidence: Probability with which it holds, in (0, 1).
      empty: The precision of a sample whose set is empty, where the ratio is 0 / 0. "skip" leaves
        such samples out, so that precision is the mean over samples with something predicted.
        "zero" counts it as 0 (as MAPIE does, for data where each sample has a label): a threshold
        must then also predict something for most samples. "one" counts it as 1 (the convention of
        the false-discovery rate): then silence is rewarded.
      grid: Thresholds to test. They must not depend on the calibration data. Fewer of them cost
        less confidence; choose them where the probabilities are.

    Returns:
      A `RiskControl` of () arrays. Where no hypothesis is rejected the threshold is infinite,
      nothing is ever predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, `level` or `confidence` are not in (0, 1), or `empty` is none of the three.

    References:
      Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
      Control", arXiv 2110.01052, 2021.
      Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
      Benjamini and Hochberg, "Controlling the False Discovery Rate", 1995.
    """
    checks.choice("empty", empty, ("skip", "zero", "one"))
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
    """A threshold per label, under which the share `level` of its predictions is true.

    As in `fit_precision`, but the precision is that of one label over the samples for which it is
    predicted, so there are no empty sets to define away, and the p-value is the exact binomial one.
    The guarantee holds for each label on its own; for all C at once pass the confidence
    1 - (1 - confidence) / C.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: The precision wanted, in (0, 1).
      confidence: Probability with which it holds for a label, in (0, 1).
      grid: Thresholds to test, the same for all labels; see `fit_precision`.

    Returns:
      A `RiskControl` of (C,) arrays; threshold infinity and `found` False for labels that are never
      predicted because no hypothesis was rejected.

    Raises:
      ValueError: As in `fit_precision`.
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
    """(size,) how many entries (or what weight) are predicted at each threshold: rank > index."""
    weights = None if weights is None else weights.ravel()
    return np.bincount(ranks.ravel(), weights, minlength=size + 1)[:0:-1].cumsum()[::-1]
