"""Scores of an epoch on the validation split."""

import math

import numpy as np

from lddu.calibration.thresholds import fit_shared
from lddu.metrics.calibration import nll
from lddu.metrics.multilabel import f1


def validation_scores(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Computes the validation scores of an epoch.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1]; for the F1 score, soft ones count as present from one half.

    Returns:
      "valid_nll", and "valid_micro_f1" at the shared threshold that suits the split best; NaN if
      any probability is not finite.
    """
    if not np.isfinite(probs).all():
        return {"valid_nll": math.nan, "valid_micro_f1": math.nan}
    hard = labels >= 0.5
    decisions = probs >= fit_shared(probs, hard)
    return {
        "valid_nll": float(nll(probs, labels)),
        "valid_micro_f1": float(f1(decisions, hard, average="micro")),
    }
