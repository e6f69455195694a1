"""Conformal control of precision (learn then test), overall and within each label."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal import sample, testing
from lddu.calibration.conformal.sample import Sample
from lddu.calibration.conformal.sequence import place
from lddu.calibration.conformal.sets import RiskControl
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
    weights: ArrayLike | None = None,
    max_weight: float | None = None,
) -> RiskControl:
    """Fits one threshold with which at least the share `level` of a set is true, on average.

    The loss of a sample is the share of its set that is false (false-discovery proportion). From
    the highest threshold of a grid down, the hypothesis that the expected loss exceeds 1 - level is
    tested at the level 1 - confidence, by betting on the losses (exactly where a loss is 0 or 1).
    The last threshold before the first hypothesis that is not rejected is taken. So the
    probability, over draws of independent calibration samples, of a threshold whose expected
    precision is below `level` is at most 1 - confidence.

    Where labels are unknown, the loss is the share that is false of the predicted labels that are
    known, and the guarantee is that of a new sample of which labels become known in the same way.
    With 0 in place of NaN unknown labels count as false: then the guarantee is, cautiously, that
    of all labels, whichever become known.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}; NaN where unknown. Samples of which none is known are left
        out.
      level: Precision wanted, in (0, 1).
      confidence: Probability with which the precision is reached, in (0, 1).
      empty: Precision of a sample whose set has no (known) label, where the ratio is 0 / 0. "skip"
        leaves such samples out, so that precision is the mean over the others. "zero" counts it as
        0 (as MAPIE does, for data where each sample has a label): a threshold must then also
        predict something for most samples. "one" counts it as 1 (the convention of the
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
      weights: (N,) weights of the rows, >= 0, for new samples of another distribution: in
        proportion to how much more likely a row is there than in the calibration data (the ratio of
        densities under covariate shift). Stakes are then made in proportion to the weights, since
        the mean of weight * (loss - bound) has the sign of the excess there. They are no numbers of
        copies: copies of a row are not independent. With groups, all rows of a group have one
        weight, or 0, which leaves a row out. None: new samples are distributed as these.
      max_weight: Bound on the weight of any sample, or group, in the unit of `weights`, needed with
        weights that differ. It must be known before the data: a gambler who may lose more than the
        stake, with a heavier sample, proves nothing. The less weights vary below it, the more
        thresholds are found.

    Returns:
      A `RiskControl` of () arrays. If no hypothesis is rejected, the threshold is infinite, nothing
      is predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are out of range, labels are soft, no known label is
        positive, `level` or `confidence` are not in (0, 1), weights differ within a group, `empty`
        is unknown, or `max_weight` is missing or below a weight.

    References:
      Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk
      Control", arXiv 2110.01052, 2021.
      Benjamini and Hochberg, "Controlling the False Discovery Rate", 1995.
      Waudby-Smith et al., "Anytime-valid off-policy inference for contextual bandits", ACM / IMS
      Journal of Data Science, 2024, for bets on weighted losses.

    Example:
      >>> import numpy as np
      >>> from lddu.calibration import conformal
      >>> probs, labels = np.tile([[0.9], [0.2]], (50, 1)), np.tile([[1], [0]], (50, 1))
      >>> state = conformal.fit_precision(probs, labels, 0.8, grid=[0.1, 0.5])
      >>> float(state.threshold), bool(state.found)
      (0.5, True)
    """
    checks.choice("empty", empty, Empty)
    shares = {"level": level, "confidence": confidence}
    data = sample.read(probs, labels, groups, weights, per_label=False, **shares)
    data = _relative(data, max_weight)
    return _controlled(_cut(data, level, 1 - confidence, empty, _checked_grid(grid), seed))


@named(returns="state")
def fit_precision_per_label(
    probs: ArrayLike,
    labels: ArrayLike,
    level: float,
    confidence: float = 0.9,
    grid: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    weights: ArrayLike | None = None,
    max_weight: float | None = None,
) -> RiskControl:
    """Fits one threshold per label, with which at least the share `level` of predictions is true.

    This is `fit_precision` for each label on its own: the precision of a label is that over the
    samples for which it is predicted. The guarantee holds for each label separately; for all C at
    once pass the confidence 1 - (1 - confidence) / C. Where labels are unknown, it is that of
    predictions that become known: of all, if whether they do does not depend on the label.

    Args:
      probs: (N, C) probabilities on calibration data.
      labels: (N, C) labels in {0, 1}; NaN where unknown.
      level: Precision wanted, in (0, 1).
      confidence: Probability with which the precision of a label is reached, in (0, 1).
      grid: (G,) thresholds to test for all labels, in [0, 1], on all samples. They must not depend
        on these samples. None spends a tenth of the samples on placing thresholds for each label.
      groups: (N,) group of each row, such as its film, where rows of one group depend on each
        other. Then groups are the independent samples, each with the precision within it, and the
        guarantee is that of a prediction drawn at random from a new group that has any. None takes
        rows as independent.
      seed: Seed of the order in which samples are bet on, and of those that place the grid.
      weights: (N,) weights of the rows, >= 0, as in `fit_precision`.
      max_weight: Bound on the weight of any sample, or group, as in `fit_precision`.

    Returns:
      A `RiskControl` of (C,) arrays. For a label without a rejected hypothesis the threshold is
      infinite, so that it is never predicted, and `found` is False.

    Raises:
      ValueError: If shapes differ, values are out of range, labels are soft, no known label is
        positive, `level` or `confidence` are not in (0, 1), weights differ within a group, or
        `max_weight` is missing or below a weight.

    Warns:
      UnknownLabelWarning: If a label has no known entry.
    """
    shares = {"level": level, "confidence": confidence}
    data = sample.read(probs, labels, groups, weights, per_label=True, **shares)
    data, grid = _relative(data, max_weight), _checked_grid(grid)
    each = (data.label(c) for c in range(data.probs.shape[1]))
    return _controlled([_cut(one, level, 1 - confidence, "skip", grid, seed) for one in each])


def _relative(data: Sample, max_weight: float | None) -> Sample:
    """Returns the sample with its weights divided by the largest possible one.

    Raises:
      ValueError: If `max_weight` is below a weight, or missing where weights differ.
    """
    sample.largest_weight(max_weight)
    heaviest = data.weight.max()
    if max_weight is None and np.any(data.weight != heaviest):
        raise ValueError(
            "weights differ, so that max_weight is needed: a bound on the weight of any sample, "
            "known before the data; bets whose losses have no bound prove nothing"
        )
    if max_weight is not None and heaviest > max_weight:
        raise ValueError(
            f"weights reach {heaviest:.4g}, above max_weight={max_weight}; give a bound on all"
        )
    return data._replace(weight=data.weight / (max_weight or heaviest))


def _cut(
    data: Sample, level: float, error: float, empty: Empty, grid: np.ndarray | None, seed: int
) -> float:
    """Returns the lowest threshold that is shown to keep the level, or infinity.

    Weights are relative to the largest possible one.
    """
    if not len(data.unit):
        return np.inf
    size = data.unit.max() + 1
    data = data._replace(unit=np.random.default_rng(seed).permutation(size)[data.unit])
    if grid is None:
        aside = -(-size // 10)
        placing, data = data.rows(data.unit < aside), data.rows(data.unit >= aside)
        samples = (size - aside) * sample.unit_weights(placing).mean()
        known = np.where(placing.known, placing.probs, -np.inf)
        grid = place(known, samples, level, error, empty == "zero")
    losses, counted = averages(*_losses(data, grid, empty), data.unit)
    weight = sample.unit_weights(data)
    bound = 1 - level
    if data.probs.shape[1] == 1 and len(losses) == len(data.probs) and np.all(weight == 1):
        p_values = testing.binomial(losses, counted, bound)
    else:
        # The mean weight * (loss - bound) is >= 0 where the mean of this is at least the bound.
        losses = losses + (1 - weight)[:, None] * (bound - losses)
        p_values = testing.betting(losses, counted, bound, error)
    return testing.last_rejected(p_values, grid, error)


def _losses(data: Sample, grid: np.ndarray, empty: Empty) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (N, G) false share of the known labels of each set, and whether it counts."""
    size = np.zeros((len(data.probs), len(grid)), int)
    for column in data.probs.T:
        size += column[:, None] >= grid
    order = np.argsort(-data.probs, axis=1)

    def among_most_probable(entries: np.ndarray) -> np.ndarray:
        return np.pad(np.cumsum(np.take_along_axis(entries, order, 1), 1), ((0, 0), (1, 0)))

    known = among_most_probable(data.known)
    false = among_most_probable(data.known & ~data.labels)
    share = np.where(known > 0, false / np.maximum(known, 1), empty == "zero")
    counted = (known > 0) | (empty != "skip")
    return np.take_along_axis(share, size, axis=1), np.take_along_axis(counted, size, axis=1)


def _checked_grid(grid: ArrayLike | None) -> np.ndarray | None:
    """Returns the thresholds in the order of the tests."""
    if grid is None:
        return None
    checks.same_shape(ndim=1, grid=grid)
    return np.unique(checks.unit_interval("grid", grid))[::-1]


def _controlled(cuts: float | list[float]) -> RiskControl:
    return RiskControl(np.array(cuts), np.array(np.isfinite(cuts)))
