"""The metrics of one row of a results table."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import calibration, checks, debiased, multilabel, ranking, selective


def summarise(probs: ArrayLike, labels: ArrayLike, thresholds: ArrayLike = 0.5) -> dict[str, float]:
    """Scores probabilities, and the decisions that thresholds derive from them.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in {0, 1}.
      thresholds: Decision thresholds: one for all labels, (C,) or (N, C). Fit them on validation
        data, never on these labels.

    Returns:
      Name -> value, in the order of a table's columns: nll, brier, ece, ece_macro, auroc, map,
      micro_f1, macro_f1, micro_precision, micro_recall, jaccard, jaccard_empty_zero, hamming_loss,
      exact_match, aurc, ece_adaptive, ece_debiased, excess_aurc. Here aurc and excess_aurc pool all
      entries: the risk is a wrong decision and the uncertainty p (1 - p). ece_adaptive is `ece`
      with bins of equal mass, ece_debiased is `ece_debiased` (NaN where no bin has two entries, as
      for N C <= 15).

    Raises:
      ValueError: If labels are soft (only nll, brier and ece are defined for those), or inputs are
        NaN, out of range or of different shapes.

    Example:
      >>> from lddu import metrics
      >>> scores = metrics.summarise([[0.9, 0.2], [0.6, 0.7]], [[1, 0], [0, 1]])
      >>> round(scores["micro_f1"], 4), round(scores["brier"], 4), scores["exact_match"]
      (0.8, 0.125, 0.5)
    """
    probs, labels = checks.probs_and_labels(probs, labels)
    decisions = multilabel.threshold(probs, thresholds)
    wrong, uncertainty = np.ravel(decisions != labels), np.ravel(probs * (1 - probs))
    scores = {
        "nll": calibration.nll(probs, labels),
        "brier": calibration.brier(probs, labels),
        "ece": calibration.ece(probs, labels),
        "ece_macro": calibration.ece(probs, labels, average="macro"),
        "auroc": ranking.auroc(probs, labels),
        "map": ranking.average_precision(probs, labels),
        "micro_f1": multilabel.f1(decisions, labels, "micro"),
        "macro_f1": multilabel.f1(decisions, labels, "macro"),
        "micro_precision": multilabel.precision(decisions, labels, "micro"),
        "micro_recall": multilabel.recall(decisions, labels, "micro"),
        "jaccard": multilabel.jaccard(decisions, labels),
        "jaccard_empty_zero": multilabel.jaccard(decisions, labels, empty="zero"),
        "hamming_loss": multilabel.hamming_loss(decisions, labels),
        "exact_match": multilabel.exact_match(decisions, labels),
        "aurc": selective.aurc(wrong, uncertainty),
        "ece_adaptive": calibration.ece(probs, labels, binning="mass"),
        "ece_debiased": debiased.ece_debiased(probs, labels),
        "excess_aurc": selective.excess_aurc(wrong, uncertainty),
    }
    return {name: float(value) for name, value in scores.items()}
