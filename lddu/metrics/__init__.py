"""Metrics on NumPy probabilities (N, C) and labels (N, C) of any model.

- `multilabel`: decisions (`threshold`) and their quality: `jaccard`, `hamming_loss`, `exact_match`,
  `precision`, `recall`, `f1`; ranking: `auroc`, `average_precision`.
- `calibration`: `nll`, `brier`, `reliability`, `ece`, `mce`; soft labels are allowed.
- `debiased`, `noise_floor`: `ece_debiased` and `ece_noise_floor`, for few samples.
- `decomposition`: `brier_decomposition` into reliability, resolution, uncertainty; `sharpness`.
- `selective`: `risk_coverage`, `aurc`.
- `summary`: `summarise`, one row of a table with all of them.
- `bootstrap`: `bootstrap`, intervals of any of them; `paired_bootstrap`, differences of two models.
"""

from lddu.metrics.bootstrap import Difference, Interval, bootstrap, paired_bootstrap
from lddu.metrics.calibration import Reliability, brier, ece, mce, nll, reliability
from lddu.metrics.debiased import ece_debiased
from lddu.metrics.decomposition import BrierDecomposition, brier_decomposition, sharpness
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
from lddu.metrics.noise_floor import NoiseFloor, ece_noise_floor
from lddu.metrics.selective import aurc, risk_coverage
from lddu.metrics.summary import summarise

__all__ = [
    "BrierDecomposition",
    "Difference",
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
    "ece_noise_floor",
    "exact_match",
    "f1",
    "hamming_loss",
    "jaccard",
    "mce",
    "nll",
    "paired_bootstrap",
    "precision",
    "recall",
    "reliability",
    "risk_coverage",
    "sharpness",
    "summarise",
    "threshold",
]
