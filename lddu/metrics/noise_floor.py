"""The calibration error that a perfectly calibrated model shows on few samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, checks
from lddu.metrics.bins import Average, Binning, assign
from lddu.names import named


class NoiseFloor(NamedTuple):
    """Calibration error of a perfectly calibrated model; arrays end in an axis C if per label.

    Attributes:
      mean: Mean over the draws: an `ece` around it or below does not show miscalibration.
      quantiles: (Q,) or (Q, C) quantiles over the draws, in the order asked for.
      samples: (draws,) or (draws, C) errors of the draws. The share that reaches the model's own
        `ece` is the p-value of a test of calibration.
    """

    mean: float | np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray


@named
def ece_noise_floor(
    probs: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
    draws: int = 1000,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    seed: int = 0,
    groups: ArrayLike | None = None,
    *,
    labels: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> NoiseFloor:
    """Computes the `ece` that probabilities would have if they were true.

    Each draw makes hard labels y ~ Bernoulli(probs) and takes their `ece`. Without groups, entries
    are independent, and where rows hang together the floor is too low. With groups, it takes their
    rows to be as dependent as they can be: one uniform number u per group and label sets all labels
    y = (u < p) of that group. No other dependence of a group's rows gives a higher mean, since sums
    are most spread out where their terms rise together. An `ece` above this floor shows
    miscalibration; one between the two floors shows it only if rows depend less: see
    `ece_interval`, which estimates the dependence from the labels. Different labels of one row are
    drawn independently. Soft labels vary less than hard ones, so for those both are too high. A row
    of weight k draws its labels once and counts k times, like k rows of one group: a weight is no
    number of independent rows.

    Args:
      probs: (N, C) probabilities.
      bins: Number of bins of the `ece` to compare with.
      average: Its averaging: "pooled", "macro" or "none".
      binning: Its bins, of equal "width" or equal "mass".
      draws: Number of sets of labels to draw.
      quantiles: Quantiles to return, each in [0, 1].
      seed: Seed of the draws.
      groups: (N,) group of each row; with None every row is on its own.
      labels: (N, C) labels, NaN where unknown, to look only at entries that are known; None looks
        at all. Their values do not matter.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      A `NoiseFloor`. A label that is never known is NaN, and left out of the macro mean with a
      warning.

    Raises:
      ValueError: If shapes do not fit, or probabilities, options, draws, quantiles or groups are
        out of range.

    References:
      Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", Weather and
        Forecasting 2007 (consistency resampling).
      Dhaene et al., "The Concept of Comonotonicity in Actuarial Science and Finance: Theory",
        Insurance: Mathematics and Economics 2002 (sums of dependent terms).

    Example:
      >>> from lddu import metrics
      >>> floor = metrics.ece_noise_floor([[0.0, 1.0]] * 10, draws=20)  # certain, so no noise
      >>> floor.mean, floor.quantiles.tolist(), floor.samples.shape
      (0.0, [0.0, 0.0, 0.0], (20,))
    """
    checks.choice("average", average, Average)
    labels = np.zeros(np.shape(probs)) if labels is None else labels
    probs, _, weights = checks.entries_of_probs(probs, labels, weights)
    checks.at_least_one("draws", draws)
    wanted = np.asarray(quantiles, np.float64)
    if wanted.ndim != 1 or not np.all((wanted >= 0) & (wanted <= 1)):
        raise ValueError(f"quantiles={quantiles} must be a sequence of numbers in [0, 1]")
    kept = weights.any(1)
    unit = checks.groups(checks.groups(groups, len(probs))[kept], np.count_nonzero(kept))
    units = unit.max() + 1
    probs, weights = probs[kept], weights[kept]
    grid = assign(probs, weights, bins, average != "pooled", binning)
    total = np.sum(grid.total(weights), axis=-1)
    total = np.where(total > 0, total, np.nan)
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(draws):
        residuals = (rng.random((units, probs.shape[1]))[unit] < probs) - probs
        # A bin's gap times its weight is the sum of its weighted residuals.
        samples.append(np.sum(np.abs(grid.total(weights * residuals)), axis=-1) / total)
    samples = np.stack(samples)
    if average != "none":
        kept = averaging.defined(np.atleast_1d(samples[0]))
        samples = np.mean(np.compress(kept, samples.reshape(draws, -1), axis=1), axis=1)
    mean = np.mean(samples, axis=0)
    return NoiseFloor(
        mean if average == "none" else float(mean), np.quantile(samples, wanted, axis=0), samples
    )
