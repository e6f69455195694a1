"""Prediction sets whose guarantee holds for any model: conformal risk control.

A set contains the labels with `probs >= threshold`. The threshold is fitted on calibration data
that the model has not seen and that are exchangeable with the test data (for precision,
independent). Then, for any model,

- `fit_false_negative_rate` bounds the share of true labels missed, on average over samples that
  have any;
- `fit_false_negative_rate_per_label` bounds it within each label;
- `fit_precision` bounds the share of predicted labels that are true, on average over samples for
  which any is predicted;
- `fit_precision_per_label` bounds it within each label.

`apply` gives the sets. The loss of missing labels grows with the threshold, so its expectation can
be controlled exactly. Precision is not monotone; there thresholds are tested, and the guarantee
holds with a stated confidence.

The guarantee is lost if the calibration data also chose anything about the probabilities: the
model, its epoch or its calibrator. Split the validation rows, by groups where there are any: one
part calibrates, the other controls. Where rows of one recording depend on each other, pass it as
`groups`; the guarantee is then that of a new recording. None holds for recordings of another kind,
unless `weights` say how much more likely each row is there.

Labels may be unknown (NaN). Each guarantee is then about labels that become known in the same way.
"""

from lddu.calibration.conformal.false_negative_rate import (
    fit_false_negative_rate,
    fit_false_negative_rate_per_label,
)
from lddu.calibration.conformal.precision import fit_precision, fit_precision_per_label
from lddu.calibration.conformal.ranking import expected_share
from lddu.calibration.conformal.sets import RiskControl, apply

__all__ = [
    "RiskControl",
    "apply",
    "expected_share",
    "fit_false_negative_rate",
    "fit_false_negative_rate_per_label",
    "fit_precision",
    "fit_precision_per_label",
]
