"""The metrics of a results table, and their statistics over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import numpy as np


class Metric(NamedTuple):
    """A metric that can stand in a table.

    Attributes:
      name: Its key in `results.json`.
      spoken: Its name in a report.
      lower_is_better: Whether it measures an error.
    """

    name: str
    spoken: str
    lower_is_better: bool


METRICS = {
    metric.name: metric
    for metric in (
        Metric("nll", "NLL", True),
        Metric("brier", "Brier", True),
        Metric("ece", "ECE", True),
        Metric("ece_macro", "macro ECE", True),
        Metric("auroc", "AUROC", False),
        Metric("map", "mAP", False),
        Metric("micro_f1", "micro F1", False),
        Metric("macro_f1", "macro F1", False),
        Metric("micro_precision", "micro precision", False),
        Metric("micro_recall", "micro recall", False),
        Metric("jaccard", "Jaccard", False),
        Metric("jaccard_empty_zero", "Jaccard, empty is 0", False),
        Metric("hamming_loss", "Hamming loss", True),
        Metric("exact_match", "exact match", False),
        Metric("aurc", "AURC", True),
        Metric("ece_adaptive", "adaptive ECE", True),
        Metric("ece_debiased", "debiased ECE", True),
        Metric("excess_aurc", "excess AURC", True),
    )
}
"""Name -> metric, for all that `lddu.metrics.summarise` computes."""


class Stat(TypedDict):
    """A metric over runs.

    Attributes:
      mean: Mean; NaN if `n` is 0.
      std: Sample standard deviation (n - 1 in the denominator), 0 if `n` is 1; NaN if `n` is 0.
      n: Number of runs in which the metric is defined.
    """

    mean: float
    std: float
    n: int


Table = Mapping[str, Mapping[str, Stat]]
"""Model -> name of a metric -> its statistics over the model's runs."""


def find_metric(metric: str | Metric) -> Metric:
    """Returns the metric of a name.

    Args:
      metric: A name of `METRICS`; a `Metric`, which may be any other, is returned as it is.

    Raises:
      ValueError: If the name is unknown.
    """
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        raise ValueError(
            f"unknown metric {metric!r}; take one of {', '.join(METRICS)}, or declare it: "
            f"Metric({metric!r}, spoken=..., lower_is_better=...)"
        )
    return METRICS[metric]


def aggregate(runs: Sequence[Mapping[str, float]]) -> dict[str, Stat]:
    """Computes mean and spread of each metric over runs, such as seeds.

    Args:
      runs: Metric -> value for each run. NaN and absent values are left out.

    Returns:
      Metric -> `Stat`, in the order in which the metrics first appear.

    Example:
      >>> aggregate([{"nll": 1.0}, {"nll": 3.0}])["nll"]["mean"]
      2.0
    """
    summary = {}
    for metric in dict.fromkeys(name for run in runs for name in run):
        values = np.array([run[metric] for run in runs if metric in run], float)
        values = values[~np.isnan(values)]
        if not values.size:
            summary[metric] = Stat(mean=math.nan, std=math.nan, n=0)
            continue
        std = float(values.std(ddof=1)) if values.size > 1 else 0.0
        summary[metric] = Stat(mean=float(values.mean()), std=std, n=int(values.size))
    return summary


def best_models(
    table: Table, metric: str | Metric, digits: int = 3, bound: str | None = None
) -> set[str]:
    """Returns the models with the best mean of a metric; several if their shown digits agree.

    Args:
      table: Statistics of each model.
      metric: A name of `METRICS`, or the metric itself.
      digits: Number of decimals shown.
      bound: A model that takes no part, because it is a bound on what any model can reach.

    Raises:
      ValueError: If the metric is unknown.
    """
    metric = find_metric(metric)
    means = {
        model: round(scores[metric.name]["mean"], digits)
        for model, scores in table.items()
        if model != bound and is_defined(scores.get(metric.name))
    }
    if not means:
        return set()
    best = (min if metric.lower_is_better else max)(means.values())
    return {model for model, mean in means.items() if mean == best}


def is_defined(stat: Stat | None) -> bool:
    """Returns whether a statistic has a value."""
    return stat is not None and not math.isnan(stat["mean"])
