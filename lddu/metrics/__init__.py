"""Metrics on NumPy probabilities (N, C) and labels (N, C) of any model.

Labels of NaN are unknown: their entries have no part. `weights` of the rows are a keyword of every
metric. A row of whole weight k counts as k equal rows in `nll`, `brier`, `reliability`, `ece`,
`mce`, `brier_decomposition`, `sharpness`, and all of `multilabel`, `ranking` and `error_detection`.
Where the number of independent rows matters (`ece_debiased`, `ece_noise_floor`, `ece_interval`,
`bootstrap`) it is one row of more importance, and in `selective` a share of the coverage. A row of
weight 0 is as good as absent, and the scale of weights does not matter.

- `decisions`: decisions (`threshold`), and which of them are `wrong`.
- `multilabel`: the quality of decisions: `jaccard`, `hamming_loss`, `exact_match`, `precision`,
  `recall`, `f1`.
- `ranking`: how well probabilities rank samples: `auroc`, `average_precision`.
- `calibration`: `nll`, `brier`, `reliability`, `ece`, `mce`; soft labels are allowed.
- `debiased`, `noise_floor`, `calibration_interval`: `ece_debiased`, `ece_noise_floor` and
  `ece_interval`, for few samples.
- `decomposition`: `brier_decomposition` into reliability, resolution, uncertainty; `sharpness`.
- `selective`: `risk_coverage`, `aurc`, `excess_aurc`, `risk_at_coverage`, on (N,) entries;
  `per_label` and `per_sample` bring (N, C) arrays to them.
- `error_detection`: `error_detection`, how well an uncertainty ranks wrong above right decisions.
- `summary`: `summarise`, one row of a results table with all of them.
- `bootstrap`: `bootstrap`, intervals of all but calibration errors; `paired_bootstrap`, differences
  of two models.

Example:
  >>> from lddu import metrics
  >>> probs, labels = [[0.9, 0.2], [0.6, 0.7]], [[1, 0], [0, 1]]
  >>> round(metrics.f1(metrics.threshold(probs), labels, "macro"), 4)
  0.8333
"""

from lddu.metrics.bootstrap import bootstrap, paired_bootstrap
from lddu.metrics.calibration import Reliability, brier, ece, mce, nll, reliability
from lddu.metrics.calibration_interval import ece_interval
from lddu.metrics.debiased import ece_debiased
from lddu.metrics.decisions import threshold, wrong
from lddu.metrics.decomposition import BrierDecomposition, brier_decomposition, sharpness
from lddu.metrics.error_detection import ErrorDetection, error_detection
from lddu.metrics.intervals import Difference, Interval
from lddu.metrics.multilabel import (
    exact_match,
    f1,
    hamming_loss,
    jaccard,
    precision,
    recall,
)
from lddu.metrics.noise_floor import NoiseFloor, ece_noise_floor
from lddu.metrics.ranking import auroc, average_precision
from lddu.metrics.selective import (
    aurc,
    excess_aurc,
    per_label,
    per_sample,
    risk_at_coverage,
    risk_coverage,
)
from lddu.metrics.summary import DECISION_METRICS, summarise

__all__ = [
    "DECISION_METRICS",
    "BrierDecomposition",
    "Difference",
    "ErrorDetection",
    "Interval",
    "NoiseFloor",
    "Reliability",
    "aurc",
    "auroc",
    "average_precision",
    "bootstrap",
    "brier",
    "brier_decomposition",
    "ece",
    "ece_debiased",
    "ece_interval",
    "ece_noise_floor",
    "error_detection",
    "exact_match",
    "excess_aurc",
    "f1",
    "hamming_loss",
    "jaccard",
    "mce",
    "nll",
    "paired_bootstrap",
    "per_label",
    "per_sample",
    "precision",
    "recall",
    "reliability",
    "risk_at_coverage",
    "risk_coverage",
    "sharpness",
    "summarise",
    "threshold",
    "wrong",
]
