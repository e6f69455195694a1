"""The metrics of one row of a results table."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import (
    averaging,
    boundary,
    calibration,
    checks,
    debiased,
    multilabel,
    ranking,
    selective,
)
from lddu.metrics.decisions import threshold
from lddu.names import named

_DECISIONS: dict[str, Callable[..., float]] = {
    "micro_f1": partial(multilabel.f1, average="micro"),
    "macro_f1": partial(multilabel.f1, average="macro"),
    "micro_precision": partial(multilabel.precision, average="micro"),
    "micro_recall": partial(multilabel.recall, average="micro"),
    "jaccard": multilabel.jaccard,
    "jaccard_empty_zero": partial(multilabel.jaccard, empty="zero"),
    "hamming_loss": multilabel.hamming_loss,
    "exact_match": multilabel.exact_match,
}
_OF_ROWS = ("jaccard", "jaccard_empty_zero", "exact_match")

DECISION_METRICS = (*_DECISIONS, "aurc", "excess_aurc")
"""Names of the metrics of `summarise` that depend on thresholds."""


@named
@boundary.unseen()
def summarise(
    probs: ArrayLike,
    labels: ArrayLike,
    thresholds: ArrayLike | Mapping[str, ArrayLike] = 0.5,
    *,
    weights: ArrayLike | None = None,
) -> dict[str, float]:
    """Scores probabilities, and the decisions that thresholds derive from them.

    A threshold is best for the metric that it was tuned for: one tuned for micro-F1 understates
    Jaccard, macro-F1 and exact match. Give each its own, or say with the figures which one it was.

    With soft labels, decisions and rankings are scored against two entries per label, one present
    and one absent, that share its weight; aurc takes as risk the share of annotators who disagree.
    Jaccard and exact match are NaN: they depend on which labels an annotator chose together.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown, which leaves the entry out.
      thresholds: Decision thresholds: one for all labels, (C,) or (N, C). All of `DECISION_METRICS`
        are taken at them. A mapping of the name of such a metric to its thresholds sets them one by
        one; those that it leaves out are at 0.5. Fit thresholds on validation data, never on these
        labels.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      Name -> value, in the order of a table's columns: nll, brier, ece, ece_macro, auroc, map,
      micro_f1, macro_f1, micro_precision, micro_recall, jaccard, jaccard_empty_zero, hamming_loss,
      exact_match, aurc, ece_adaptive, ece_debiased, excess_aurc. Here aurc and excess_aurc pool all
      entries: the risk is a wrong decision and the uncertainty p (1 - p). ece_adaptive is `ece`
      with bins of equal mass, ece_debiased is `ece_debiased` (NaN where no bin has two rows, as
      for few of them). The means over labels of ece_macro, auroc, map and macro_f1 leave out labels
      that are never known, auroc and map those of one class too; one warning names their columns.

    Raises:
      ValueError: If inputs are of different shapes or out of range, probabilities are NaN, no label
        is known, or a mapping names an unknown metric.

    Example:
      >>> from lddu import metrics
      >>> probs, labels = [[0.9, 0.2], [0.6, 0.7]], [[1, 0], [0, 1]]
      >>> scores = metrics.summarise(probs, labels)
      >>> round(scores["micro_f1"], 4), round(scores["brier"], 4), scores["exact_match"]
      (0.8, 0.125, 0.5)
      >>> metrics.summarise(probs, labels, {"exact_match": 0.65})["exact_match"]
      1.0
    """
    entries = checks.entries_of_probs(probs, labels, weights)
    probs = entries.values
    if isinstance(thresholds, Mapping):
        unknown = [name for name in thresholds if name not in DECISION_METRICS]
        if unknown:
            raise ValueError(
                f"thresholds names {unknown[0]!r}, must name metrics of decisions: "
                f"{', '.join(DECISION_METRICS)}"
            )
        cuts = {name: thresholds.get(name, 0.5) for name in DECISION_METRICS}
        decisions = {name: threshold(probs, cut) for name, cut in cuts.items()}
    else:
        decisions = dict.fromkeys(DECISION_METRICS, threshold(probs, thresholds))
    _warn(entries)
    with averaging.silent():
        scores = _scores(entries, labels, weights, decisions)
    return {name: float(value) for name, value in scores.items()}


def _scores(
    entries: checks.Entries,
    labels: ArrayLike,
    weights: ArrayLike | None,
    decisions: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Returns the scores of entries, which stem from labels and weights, in the table's order."""
    probs = entries.values
    given = {"labels": labels, "weights": weights}
    scores = {
        "nll": calibration.nll(probs, **given),
        "brier": calibration.brier(probs, **given),
        "ece": calibration.ece(probs, **given),
        "ece_macro": calibration.ece(probs, average="macro", **given),
        "auroc": ranking.auroc(probs, **given),
        "map": ranking.average_precision(probs, **given),
    }
    soft = ((entries.present > 0) & (entries.absent > 0)).any()
    for name, score in _DECISIONS.items():
        joint = soft and name in _OF_ROWS
        scores[name] = np.nan if joint else score(decisions[name], **given)
    uncertainty = np.ravel(probs * (1 - probs))
    each = np.ravel(entries.weights)
    wrong = {n: np.ravel(np.abs(decisions[n] - entries.labels)) for n in ("aurc", "excess_aurc")}
    scores["aurc"] = selective.aurc(wrong["aurc"], uncertainty, weights=each)
    scores["ece_adaptive"] = calibration.ece(probs, binning="mass", **given)
    scores["ece_debiased"] = debiased.ece_debiased(probs, **given)
    scores["excess_aurc"] = selective.excess_aurc(wrong["excess_aurc"], uncertainty, weights=each)
    return scores


def _warn(entries: checks.Entries) -> None:
    """Warns once of the labels that means over labels leave out."""
    present, absent = entries.present.any(0), entries.absent.any(0)
    averaging.warn(
        {
            averaging.NOTHING_KNOWN: ~present & ~absent,
            f"{averaging.ONE_CLASS} (auroc, map)": present != absent,
        }
    )
