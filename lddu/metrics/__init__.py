"""Metrics on NumPy probabilities (N, C) and labels (N, C) of any model.

- `multilabel`: decisions (`threshold`) and their quality: `jaccard`, `hamming_loss`, `exact_match`,
  `precision`, `recall`, `f1`; ranking: `auroc`, `average_precision`.
- `calibration`: `nll`, `brier`, `reliability`, `ece`; soft labels are allowed.
- `selective`: `risk_coverage`, `aurc`.
- `summary`: `summarise`, one row of a table with all of them.
- `bootstrap`: `bootstrap`, intervals of any of them; `paired_bootstrap`, differences of two models.
"""

from lddu.metrics.bootstrap import Difference, Interval, bootstrap, paired_bootstrap
from lddu.metrics.calibration import Reliability, brier, ece, nll, reliability
from lddu.metrics.multilabel import (
    auroc,
    average_precision,
    exact_match,
    f1,
    hamming_loss,
    jaccard,
    precision,
    recall,
    threshold,
)
from lddu.metrics.selective import aurc, risk_coverage
from lddu.metrics.summary import summarise

__all__ = [
    "Difference",
    "Interval",
    "Reliability",
    "aurc",
    "auroc",
    "average_precision",
    "bootstrap",
    "brier",
    "ece",
    "exact_match",
    "f1",
    "hamming_loss",
    "jaccard",
    "nll",
    "paired_bootstrap",
    "precision",
    "recall",
    "reliability",
    "risk_coverage",
    "summarise",
    "threshold",
]
