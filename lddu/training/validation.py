"""Scores of an epoch on the validation split."""

import math

import numpy as np

from lddu.calibration.thresholds import fit_shared
from lddu.metrics.calibration import nll
from lddu.metrics.multilabel import f1


def validation_scores(
    probs: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Computes the validation scores of an epoch.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], NaN where unknown; for the F1 score, soft ones count as
        present from one half.
      weights: (N,) weights of the rows; None weights all equally.

    Returns:
      "valid_nll", and "valid_micro_f1" at the shared threshold that suits the split best, both over
      the entries that are known; NaN if any probability is not finite.
    """
    if not np.isfinite(probs).all():
        return {"valid_nll": math.nan, "valid_micro_f1": math.nan}
    hard = np.where(np.isnan(labels), np.nan, labels >= 0.5)
    decisions = probs >= fit_shared(probs, hard, weights=weights)
    return {
        "valid_nll": float(nll(probs, labels, weights=weights)),
        "valid_micro_f1": float(f1(decisions, hard, average="micro", weights=weights)),
    }
