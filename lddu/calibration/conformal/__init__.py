"""Prediction sets with a guarantee that needs no faith in the model: conformal risk control.

A set holds the labels with `probs >= threshold`. The threshold is fitted on calibration data that
the model has not seen and that come from where the test data come from (exchangeable with them; for
precision, independent). Then, whatever the model,

- `fit_false_negative_rate`: few true labels are missed, on average over samples;
- `fit_false_negative_rate_per_label`: the same within each label;
- `fit_precision`: most of what is predicted is true, on average over samples;
- `fit_precision_per_label`: the same within each label.

`apply` gives the sets. The loss of missing labels grows with the threshold, so its expectation can
be controlled exactly. Precision is not monotone; there each threshold of a grid is tested, and the
guarantee holds with a stated confidence.

What breaks the guarantee: data that also chose the model, its temperature or its epoch; windows of
one recording on both sides; test recordings of another kind than the calibration ones.
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
