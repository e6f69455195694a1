"""The configuration of calibration: what is fitted after training."""

import dataclasses
import math
from typing import Literal

from lddu.config.checks import require, require_types

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
      method: A name from `lddu.calibration.CALIBRATORS`, by default "temperature" (one for all
        labels); or "choose", which compares all of them by cross-validated likelihood and takes
        the simplest within the noise of the best (`lddu.calibration.choose`).
      anchor: Probability that a high temperature pulls towards: the "base_rate" of the training
        labels, which keeps rare labels rare, or "half", the classical method. Only temperatures
        use it.
      shrinkage: Strength of the pull towards no change, in roughly effective observations (see the
        fit function of each method), for small or unrepresentative validation splits. None gives
        each method its default: 0 for temperatures, 1 for "platt", "vector", "beta" and "matrix",
        which need more than 0. "matrix" shrinks the influence of other labels ten times as hard;
        "isotonic" ignores it.
      thresholds: Decision thresholds of `Predictor.decide`, after any method: one that all labels
        share ("shared"), or one per label ("per_label").
    """

    method: CalibrationMethod = "temperature"
    anchor: Literal["base_rate", "half"] = "base_rate"
    shrinkage: float | None = None
    thresholds: Literal["shared", "per_label"] = "shared"

    def __post_init__(self):
        require_types(self, "calibration")
        if self.shrinkage is not None:
            require(
                0 <= self.shrinkage < math.inf,
                f"calibration: shrinkage={self.shrinkage} must be finite and not negative",
            )
            require(
                self.shrinkage > 0
                or self.method in ("none", "temperature", "temperature_per_label", "isotonic"),
                f"calibration: shrinkage={self.shrinkage} must be > 0 for method={self.method!r}: "
                "without it, separable data have no finite optimum; None takes its default",
            )
