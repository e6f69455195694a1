"""Prediction sets whose guarantee holds for any model: conformal risk control.

A set contains the labels with `probs >= threshold`. The threshold is fitted on calibration data
that the model has not seen and that are exchangeable with the test data (for precision,
independent). Then, for any model,

- `fit_false_negative_rate` bounds the share of true labels missed, on average over samples;
- `fit_false_negative_rate_per_label` bounds it within each label;
- `fit_precision` bounds the share of predicted labels that are true, on average over samples;
- `fit_precision_per_label` bounds it within each label.

`apply` gives the sets. The loss of missing labels grows with the threshold, so its expectation can
be controlled exactly. Precision is not monotone; there each threshold of a grid is tested, and the
guarantee holds with a stated confidence.

The guarantee is lost if the calibration data also chose the model, its temperature or its epoch, if
windows of one recording are on both sides, or if test recordings are of another kind.
"""

from lddu.calibration.conformal.false_negative_rate import (
    fit_false_negative_rate,
    fit_false_negative_rate_per_label,
)
from lddu.calibration.conformal.precision import fit_precision, fit_precision_per_label
from lddu.calibration.conformal.sets import RiskControl, apply

__all__ = [
    "RiskControl",
    "apply",
    "fit_false_negative_rate",
    "fit_false_negative_rate_per_label",
    "fit_precision",
    "fit_precision_per_label",
]
