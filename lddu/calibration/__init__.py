"""Post-hoc calibration: fitted on validation data, on logits or probabilities of any model.

- `scaling`: `fit_temperature` -> `Temperature`, `apply_temperature`.
- `thresholds`: `thresholds.fit_shared`, `thresholds.fit_per_label`; apply them with
  `lddu.metrics.threshold`.
- `conformal`: prediction sets whose false-negative rate or precision is guaranteed, for instance
  `conformal.fit_false_negative_rate` -> `RiskControl`, `conformal.apply`.
"""

from lddu.calibration import conformal, scaling, thresholds
from lddu.calibration.scaling import Temperature, apply_temperature, fit_temperature

__all__ = [
    "Temperature",
    "apply_temperature",
    "conformal",
    "fit_temperature",
    "scaling",
    "thresholds",
]
