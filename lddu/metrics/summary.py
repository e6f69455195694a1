"""The metrics of one row of a results table."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import boundary, calibration, checks, debiased, multilabel, ranking, selective
from lddu.names import named

_DECISIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "micro_f1": lambda decisions, labels: multilabel.f1(decisions, labels, "micro"),
    "macro_f1": lambda decisions, labels: multilabel.f1(decisions, labels, "macro"),
    "micro_precision": lambda decisions, labels: multilabel.precision(decisions, labels, "micro"),
    "micro_recall": lambda decisions, labels: multilabel.recall(decisions, labels, "micro"),
    "jaccard": multilabel.jaccard,
    "jaccard_empty_zero": lambda decisions, labels: multilabel.jaccard(decisions, labels, "zero"),
    "hamming_loss": multilabel.hamming_loss,
    "exact_match": multilabel.exact_match,
}

DECISION_METRICS = (*_DECISIONS, "aurc", "excess_aurc")
"""Names of the metrics of `summarise` that depend on thresholds."""


@named
@boundary.unseen()
def summarise(
    probs: ArrayLike,
    labels: ArrayLike,
    thresholds: ArrayLike | Mapping[str, ArrayLike] = 0.5,
) -> dict[str, float]:
    """Scores probabilities, and the decisions that thresholds derive from them.

    A threshold is best for the metric that it was tuned for: one tuned for micro-F1 understates
    Jaccard, macro-F1 and exact match. Give each its own, or say with the figures which one it was.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in {0, 1}.
      thresholds: Decision thresholds: one for all labels, (C,) or (N, C). All of `DECISION_METRICS`
        are taken at them. A mapping of the name of such a metric to its thresholds sets them one by
        one; those that it leaves out are at 0.5. Fit thresholds on validation data, never on these
        labels.

    Returns:
      Name -> value, in the order of a table's columns: nll, brier, ece, ece_macro, auroc, map,
      micro_f1, macro_f1, micro_precision, micro_recall, jaccard, jaccard_empty_zero, hamming_loss,
      exact_match, aurc, ece_adaptive, ece_debiased, excess_aurc. Here aurc and excess_aurc pool all
      entries: the risk is a wrong decision and the uncertainty p (1 - p). ece_adaptive is `ece`
      with bins of equal mass, ece_debiased is `ece_debiased` (NaN where no bin has two rows, as
      for few of them).

    Raises:
      ValueError: If labels are soft (only nll, brier and ece are defined for those), inputs are
        NaN, out of range or of different shapes, or a mapping names an unknown metric.

    Example:
      >>> from lddu import metrics
      >>> probs, labels = [[0.9, 0.2], [0.6, 0.7]], [[1, 0], [0, 1]]
      >>> scores = metrics.summarise(probs, labels)
      >>> round(scores["micro_f1"], 4), round(scores["brier"], 4), scores["exact_match"]
      (0.8, 0.125, 0.5)
      >>> metrics.summarise(probs, labels, {"exact_match": 0.65})["exact_match"]
      1.0
    """
    probs, labels = checks.probs_and_labels(probs, labels)
    if isinstance(thresholds, Mapping):
        unknown = [name for name in thresholds if name not in DECISION_METRICS]
        if unknown:
            raise ValueError(
                f"thresholds names {unknown[0]!r}, must name metrics of decisions: "
                f"{', '.join(DECISION_METRICS)}"
            )
        cuts = {name: thresholds.get(name, 0.5) for name in DECISION_METRICS}
        decisions = {name: multilabel.threshold(probs, cut) for name, cut in cuts.items()}
    else:
        decisions = dict.fromkeys(DECISION_METRICS, multilabel.threshold(probs, thresholds))
    scores = {
        "nll": calibration.nll(probs, labels),
        "brier": calibration.brier(probs, labels),
        "ece": calibration.ece(probs, labels),
        "ece_macro": calibration.ece(probs, labels, average="macro"),
        "auroc": ranking.auroc(probs, labels),
        "map": ranking.average_precision(probs, labels),
    }
    scores |= {name: score(decisions[name], labels) for name, score in _DECISIONS.items()}
    uncertainty = np.ravel(probs * (1 - probs))
    wrong = {name: np.ravel(decisions[name] != labels) for name in ("aurc", "excess_aurc")}
    scores["aurc"] = selective.aurc(wrong["aurc"], uncertainty)
    scores["ece_adaptive"] = calibration.ece(probs, labels, binning="mass")
    scores["ece_debiased"] = debiased.ece_debiased(probs, labels)
    scores["excess_aurc"] = selective.excess_aurc(wrong["excess_aurc"], uncertainty)
    return {name: float(value) for name, value in scores.items()}
