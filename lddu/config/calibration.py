"""The configuration of what is fitted after training."""

import dataclasses
import math
from typing import Literal

from lddu.config.checks import require, require_choices

CalibrationMethod = Literal[
    "none",
    "temperature",
    "platt",
    "temperature_per_label",
    "vector",
    "beta",
    "isotonic",
    "matrix",
    "choose",
]


@dataclasses.dataclass(frozen=True)
class CalibrationConfig:
    """What is fitted on the validation split after training.

    Attributes:
      method: A name from `lddu.calibration.CALIBRATORS`, "temperature" (one for all labels) by
        default; or "choose", which takes the one with the best cross-validated likelihood, the
        simplest within the noise (`lddu.calibration.choose`). Its candidates are all of them, each
        with the `anchor` and `shrinkage` that it would have on its own.
      anchor: What a high temperature pulls towards: "base_rate" of the training labels, which
        keeps rare labels rare, or "half", the classical method. For temperatures only.
      shrinkage: Strength of the pull towards changing nothing, in roughly effective observations
        (see the fit function of each method), for small or unrepresentative validation splits. None
        gives each method its own: 0 for temperatures, 1 for "platt", "vector", "beta" and "matrix",
        which need more than 0. What "matrix" takes from other labels is pulled ten times as hard.
        "isotonic" has nothing to shrink to, and ignores it.
      thresholds: Which decision thresholds `Predictor.decide` uses, after any method: "shared" or
        "per_label".
    """

    method: CalibrationMethod = "temperature"
    anchor: Literal["base_rate", "half"] = "base_rate"
    shrinkage: float | None = None
    thresholds: Literal["shared", "per_label"] = "shared"

    def __post_init__(self):
        require_choices(self, "calibration")
        if self.shrinkage is not None:
            require(
                0 <= self.shrinkage < math.inf,
                f"calibration: shrinkage={self.shrinkage} is negative or not finite",
            )
            require(
                self.shrinkage > 0
                or self.method in ("none", "temperature", "temperature_per_label", "isotonic"),
                f"calibration: shrinkage={self.shrinkage} must be > 0 for method={self.method!r}: "
                "without it, separable data have no finite optimum; None takes its default",
            )
