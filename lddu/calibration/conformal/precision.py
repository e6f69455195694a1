"""Conformal control of precision (learn then test), overall and within each label."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal import testing
from lddu.calibration.conformal.sequence import place
from lddu.calibration.conformal.sets import RiskControl, checked
from lddu.calibration.groups import averages
from lddu.metrics import checks
from lddu.names import named

Empty = Literal["skip", "zero", "one"]


@named(returns="state")
def fit_precision(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    confidence: float = 0.9,
    empty: Empty = "skip",
    grid: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> RiskControl:
    """Fits one threshold with which at least the share `level` of a set is true, on average.

    The loss of a sample is the share of its set that is false (false-discovery proportion). From
    the highest threshold of a grid down, the hypothesis that the expected loss exceeds 1 - level is
    tested at the level 1 - confidence, by betting on the losses (exactly where a loss is 0 or 1).
    The last threshold before the first hypothesis that is not rejected is taken. So the
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
      grid: (G,) thresholds to test, in [0, 1], on all samples. They must not depend on these
        samples, and the highest must let some of them predict something: where it fails, no other
        is tested. None spends a tenth of the samples, drawn at random, on placing 101 thresholds;
        the others test them.
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then groups are the independent samples, and the loss of a group is the mean over
        its rows that count (groups without such rows are left out). The guarantee is that of the
        mean loss in a new group, so of a row drawn at random from it. None takes rows as
        independent.
      seed: Seed of the order in which samples are bet on, and of those that place the grid.

    Returns:
      A `RiskControl` of () arrays. If no hypothesis is rejected, the threshold is infinite, nothing
      is predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, `level` or `confidence` are not in (0, 1), or `empty` is unknown.

    References:
      Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
      Control", arXiv 2110.01052, 2021.
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
    cut = _cut(probs, labels, level, 1 - confidence, empty, _checked_grid(grid), groups, seed)
    return _controlled(cut)


@named(returns="state")
def fit_precision_per_label(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    confidence: float = 0.9,
    grid: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> RiskControl:
    """Fits one threshold per label, with which at least the share `level` of predictions is true.

    This is `fit_precision` for each label on its own: the precision of a label is that over the
    samples for which it is predicted. The guarantee holds for each label separately; for all C at
    once pass the confidence 1 - (1 - confidence) / C.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}.
      level: Precision wanted, in (0, 1).
      confidence: Probability with which the precision of a label is reached, in (0, 1).
      grid: (G,) thresholds to test for all labels, in [0, 1], on all samples. They must not depend
        on these samples. None spends a tenth of the samples on placing thresholds for each label.
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then groups are the independent samples, each with the precision within it, and the
        guarantee is that of a prediction drawn at random from a new group that has any. None takes
        rows as independent.
      seed: Seed of the order in which samples are bet on, and of those that place the grid.

    Returns:
      A `RiskControl` of (C,) arrays. For a label without a rejected hypothesis the threshold is
      infinite, so that it is never predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, no label is
        positive, or `level` or `confidence` are not in (0, 1).
    """
    probs, labels = checked(probs, labels, level=level, confidence=confidence)
    grid = _checked_grid(grid)
    return _controlled(
        [
            _cut(probs[:, [c]], labels[:, [c]], level, 1 - confidence, "skip", grid, groups, seed)
            for c in range(probs.shape[1])
        ]
    )


def _cut(
    probs: np.ndarray,
    labels: np.ndarray,
    level: float,
    error: float,
    empty: Empty,
    grid: np.ndarray | None,
    groups: ArrayLike | None,
    seed: int,
) -> float:
    """Returns the lowest threshold that is shown to keep the level, or infinity."""
    unit = checks.groups(groups, len(probs))
    size = unit.max() + 1
    unit = np.random.default_rng(seed).permutation(size)[unit]
    if grid is None:
        aside = -(-size // 10)
        placing = unit < aside
        grid = place(probs[placing], size - aside, level, error, empty == "zero")
        probs, labels, unit = probs[~placing], labels[~placing], unit[~placing]
    losses, counted = averages(*_losses(probs, labels, grid, empty), unit)
    if probs.shape[1] == 1 and len(losses) == len(probs):
        p_values = testing.binomial(losses, counted, 1 - level)
    else:
        p_values = testing.betting(losses, counted, 1 - level, error)
    return testing.last_rejected(p_values, grid, error)


def _losses(
    probs: np.ndarray, labels: np.ndarray, grid: np.ndarray, empty: Empty
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (N, G) share of each set that is false, and whether the set counts."""
    size = np.zeros((len(probs), len(grid)), int)
    for column in probs.T:
        size += column[:, None] >= grid
    order = np.argsort(-probs, axis=1)
    false = np.cumsum(~np.take_along_axis(labels, order, axis=1), axis=1)
    share = false / np.arange(1, probs.shape[1] + 1)  # of the k most probable labels
    share = np.pad(share, ((0, 0), (1, 0)), constant_values=float(empty == "zero"))
    return np.take_along_axis(share, size, axis=1), (size > 0) | (empty != "skip")


def _checked_grid(grid: ArrayLike | None) -> np.ndarray | None:
    """Returns the thresholds in the order of the tests."""
    if grid is None:
        return None
    checks.same_shape(ndim=1, grid=grid)
    return np.unique(checks.unit_interval("grid", grid))[::-1]


def _controlled(cuts: float | list[float]) -> RiskControl:
    return RiskControl(np.array(cuts), np.array(np.isfinite(cuts)))
