"""How much calibration error does a perfect model show on so few samples?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.metrics.bins import Average, Binning, assign


class NoiseFloor(NamedTuple):
    """Calibration error of a perfectly calibrated model; ... is C if per label, else nothing.

    Attributes:
      mean: (...) mean over the draws: an `ece` around it or below is no sign of miscalibration.
      quantiles: (Q, ...) quantiles over the draws, in the order asked for.
      samples: (draws, ...) the errors drawn. The share that reaches the model's own `ece` is the
        p-value of a test of calibration.
    """

    mean: float | np.ndarray
    quantiles: np.ndarray
    samples: np.ndarray


def ece_noise_floor(
    probs: ArrayLike,
    bins: int = 15,
    average: Average = "pooled",
    binning: Binning = "width",
    draws: int = 1000,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    seed: int = 0,
) -> NoiseFloor:
    """The `ece` of these probabilities if they were true, by drawing labels from them.

    Each draw makes hard labels y ~ Bernoulli(probs) and takes their `ece`. Entries are drawn
    independently: where rows are correlated, or the labels of one row beyond what their
    probabilities say, the true floor is as a rule higher. Soft labels vary less than hard ones, so
    for those this floor is too high.

    Args:
      probs: (N, C) probabilities.
      bins: As in the `ece` to compare with, and so `average` and `binning`.
      average: "pooled", "macro" or "none".
      binning: "width" or "mass".
      draws: Number of draws.
      quantiles: Which quantiles to return, each in [0, 1].
      seed: The result is a function of it.

    Returns:
      A `NoiseFloor`.

    Raises:
      ValueError: If probabilities, options, draws or quantiles are out of range.

    References:
      Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", Weather and
        Forecasting 2007 (consistency resampling).
    """
    checks.choice("average", average, ("pooled", "macro", "none"))
    checks.same_shape(probs=probs)
    probs = checks.unit_interval("probs", probs)
    if draws < 1:
        raise ValueError(f"draws={draws} is not at least 1; 1000 is usual")
    wanted = np.asarray(quantiles, np.float64)
    if wanted.ndim != 1 or not np.all((wanted >= 0) & (wanted <= 1)):
        raise ValueError(f"quantiles={quantiles} must be a sequence of numbers in [0, 1]")
    found = assign(probs, bins, average != "pooled", binning)
    entries = np.sum(found.total(), axis=-1)
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(draws):
        residuals = (rng.random(probs.shape) < probs) - probs
        # A bin's gap times its count is the sum of its residuals.
        errors = np.sum(np.abs(found.total(residuals)), axis=-1) / entries
        samples.append(errors if average == "none" else np.mean(errors))
    samples = np.stack(samples)
    mean = np.mean(samples, axis=0)
    return NoiseFloor(
        mean if average == "none" else float(mean), np.quantile(samples, wanted, axis=0), samples
    )
