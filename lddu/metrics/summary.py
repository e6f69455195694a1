"""All metrics at once: one row of a results table."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import calibration, checks, debiased, multilabel, selective


def summarise(probs: ArrayLike, labels: ArrayLike, thresholds: ArrayLike = 0.5) -> dict[str, float]:
    """Scores probabilities, and the decisions that thresholds make of them.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in {0, 1}.
      thresholds: As `threshold` takes them; fit them on validation data, never on these labels.

    Returns:
      Name -> value, in the order of a table's columns: nll, brier, ece, ece_macro, auroc, map,
      micro_f1, macro_f1, micro_precision, micro_recall, jaccard, jaccard_empty_zero, hamming_loss,
      exact_match, aurc, ece_adaptive, ece_debiased, excess_aurc. Here aurc and excess_aurc pool all
      entries: the risk is a wrong decision and the uncertainty p (1 - p). ece_adaptive is `ece`
      with bins of equal mass, ece_debiased its root mean square without the share of noise (NaN
      where no bin of it holds two entries, as for N C <= 15).

    Raises:
      ValueError: If labels are soft (only nll, brier and ece are defined for those), or inputs are
        NaN, out of range or of different shapes.
    """
    probs, labels = checks.probs_and_labels(probs, labels)
    decisions = multilabel.threshold(probs, thresholds)
    wrong, uncertainty = np.ravel(decisions != labels), np.ravel(probs * (1 - probs))
    scores = {
        "nll": calibration.nll(probs, labels),
        "brier": calibration.brier(probs, labels),
        "ece": calibration.ece(probs, labels),
        "ece_macro": calibration.ece(probs, labels, average="macro"),
        "auroc": multilabel.auroc(probs, labels),
        "map": multilabel.average_precision(probs, labels),
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
