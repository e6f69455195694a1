"""The calibration error that a perfectly calibrated model shows on few samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
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
) -> NoiseFloor:
    """Computes the `ece` that probabilities would have if they were true.

    Each draw makes hard labels y ~ Bernoulli(probs) and takes their `ece`. Without groups, entries
    are independent, and where rows hang together the floor is too low. With groups, it takes their
    rows to be as dependent as they can be: one uniform number u per group and label sets all labels
    y = (u < p) of that group. No other dependence of a group's rows gives a higher mean, since sums
    are most spread out where their terms rise together. An `ece` above this floor shows
    miscalibration; one between the two floors shows it only if rows depend less: see
    `ece_interval`, which estimates the dependence from the labels. Different labels of one row are
    drawn independently. Soft labels vary less than hard ones, so for those both are too high.

    Args:
      probs: (N, C) probabilities.
      bins: Number of bins of the `ece` to compare with.
      average: Its averaging: "pooled", "macro" or "none".
      binning: Its bins, of equal "width" or equal "mass".
      draws: Number of sets of labels to draw.
      quantiles: Quantiles to return, each in [0, 1].
      seed: Seed of the draws.
      groups: (N,) group of each row; with None every row is on its own.

    Returns:
      A `NoiseFloor`.

    Raises:
      ValueError: If probabilities, options, draws, quantiles or groups are out of range.

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
    checks.same_shape(probs=probs)
    probs = checks.unit_interval("probs", probs)
    checks.at_least_one("draws", draws)
    wanted = np.asarray(quantiles, np.float64)
    if wanted.ndim != 1 or not np.all((wanted >= 0) & (wanted <= 1)):
        raise ValueError(f"quantiles={quantiles} must be a sequence of numbers in [0, 1]")
    unit = checks.groups(groups, len(probs))
    units = unit.max() + 1
    grid = assign(probs, bins, average != "pooled", binning)
    entries = np.sum(grid.total(), axis=-1)
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(draws):
        residuals = (rng.random((units, probs.shape[1]))[unit] < probs) - probs
        # A bin's gap times its count is the sum of its residuals.
        errors = np.sum(np.abs(grid.total(residuals)), axis=-1) / entries
        samples.append(errors if average == "none" else np.mean(errors))
    samples = np.stack(samples)
    mean = np.mean(samples, axis=0)
    return NoiseFloor(
        mean if average == "none" else float(mean), np.quantile(samples, wanted, axis=0), samples
    )
