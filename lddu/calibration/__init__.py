"""Post-hoc calibration: fitted on validation data, on logits or probabilities of any model.

Every calibrator takes and returns logits: `state = fit_x(logits, labels)`, then
`apply(state, logits)` for any of them, under `jax.jit` too. `logit(probs)` turns probabilities into
logits.

In every fit of this package, a label that is NaN is unknown and does not count, and `weights` (N,)
weight the rows. For a label without a known entry nothing is fitted on its own, with an
`lddu.UnknownLabelWarning`: parameters per label leave it as it is, shared ones apply.

- `scaling`: `fit_temperature` -> `Temperature`; one number, or one per label.
- `platt`: `fit_platt` -> `Platt`; slope and bias, shared or per label (vector scaling).
- `beta`: `fit_beta` -> `Beta`; per label, with separate slopes at the two ends.
- `isotonic`: `fit_isotonic` -> `Isotonic`; per label, any non-decreasing map that is not too steep.
- `matrix`: `fit_matrix` -> `Matrix`; a label may draw on all labels.
- `calibrators`: `CALIBRATORS` fits by name, `apply` applies any, `Identity` changes nothing.
- `choice`: `choose` -> `Choice`; the simplest calibrator that is best, within the noise, in
  cross-validation.
- `conformal`: prediction sets whose false-negative rate or precision is guaranteed, for instance
  `conformal.fit_false_negative_rate` -> `RiskControl`, `conformal.apply`.
- `thresholds`: `thresholds.fit_shared`, `thresholds.fit_per_label` for F1, `thresholds.fit_cost`
  and `thresholds.cost_threshold` for costs; apply them with `lddu.metrics.threshold`.
"""

from lddu.calibration import conformal, scaling, thresholds
from lddu.calibration.beta import Beta, apply_beta, fit_beta
from lddu.calibration.calibrators import CALIBRATORS, Calibrator, Identity, apply
from lddu.calibration.choice import Choice, choose
from lddu.calibration.inputs import logit
from lddu.calibration.isotonic import Isotonic, apply_isotonic, fit_isotonic, max_slope
from lddu.calibration.matrix import Matrix, apply_matrix, fit_matrix
from lddu.calibration.platt import Platt, apply_platt, fit_platt
from lddu.calibration.scaling import Temperature, apply_temperature, fit_temperature

__all__ = [
    "CALIBRATORS",
    "Beta",
    "Calibrator",
    "Choice",
    "Identity",
    "Isotonic",
    "Matrix",
    "Platt",
    "Temperature",
    "apply",
    "apply_beta",
    "apply_isotonic",
    "apply_matrix",
    "apply_platt",
    "apply_temperature",
    "choose",
    "conformal",
    "fit_beta",
    "fit_isotonic",
    "fit_matrix",
    "fit_platt",
    "fit_temperature",
    "logit",
    "max_slope",
    "scaling",
    "thresholds",
]
