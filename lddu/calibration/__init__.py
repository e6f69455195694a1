"""Post-hoc calibration: fitted on validation data, on logits or probabilities of any model.

- `scaling`: `fit_temperature` -> `Temperature`, `apply_temperature`.
- `thresholds`: `thresholds.fit_shared`, `thresholds.fit_per_label`; apply them with
  `lddu.metrics.threshold`.
"""

from lddu.calibration import scaling, thresholds
from lddu.calibration.scaling import Temperature, apply_temperature, fit_temperature

__all__ = ["Temperature", "apply_temperature", "fit_temperature", "scaling", "thresholds"]
