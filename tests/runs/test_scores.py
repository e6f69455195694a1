import math

import numpy as np
import pytest

from lddu import metrics
from lddu.runs import scores
from lddu.runs.scores import METRICS, Metric


def stat(mean, std=0.0, n=1):
    return {"mean": mean, "std": std, "n": n}


TABLE = {
    "lddu": {"nll": stat(0.4, 0.012, 3), "micro_f1": stat(0.7)},
    "base": {"nll": stat(0.6), "micro_f1": stat(0.7001)},
    "bayes": {"nll": stat(0.1), "micro_f1": stat(0.9)},
    "new": {"nll": stat(math.nan, math.nan, 0)},
}


def test_metrics_are_those_of_summarise():
    labels = np.array([[1, 0], [0, 1]])
    assert list(METRICS) == list(metrics.summarise(np.full((2, 2), 0.5), labels))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_perfect_predictions_have_the_best_value(metric):
    labels = np.random.default_rng(0).integers(0, 2, (60, 2))
    right, wrong = (metrics.summarise(p, labels)[metric.name] for p in (labels, 1 - labels))
    # Predictions that are all wrong and equally certain have no worse an order than right ones.
    if metric.name == "excess_aurc":
        assert metric.lower_is_better
        assert right == pytest.approx(0, abs=1e-9)
    else:
        assert (right < wrong) is metric.lower_is_better


def test_a_metric_is_found_by_name_or_declared():
    assert scores.find_metric("nll") is METRICS["nll"]
    own = Metric("nll_clean", "NLL, clean", lower_is_better=True)
    assert scores.find_metric(own) is own
    with pytest.raises(ValueError, match=r"unknown metric 'nll_clean'; take one of nll, brier"):
        scores.find_metric("nll_clean")


def test_aggregate_by_hand():
    runs = [{"nll": 1.0, "f1": 0.5}, {"nll": 3.0, "f1": math.nan}, {"nll": 2.0}]
    summary = scores.aggregate(runs)
    assert summary == {"nll": stat(2.0, 1.0, 3), "f1": stat(0.5, 0.0, 1)}
    assert list(summary) == ["nll", "f1"]


def test_aggregate_of_nothing_is_nan_and_of_no_runs_empty():
    summary = scores.aggregate([{"auroc": math.nan}])["auroc"]
    assert math.isnan(summary["mean"])
    assert math.isnan(summary["std"])
    assert summary["n"] == 0
    assert scores.aggregate([]) == {}


def test_best_leaves_out_the_bound_and_missing_values_and_keeps_ties():
    best = scores.best_models
    assert best(TABLE, "nll", bound="bayes") == {"lddu"}
    assert best(TABLE, "nll") == {"bayes"}
    assert best(TABLE, "micro_f1", bound="bayes") == {"lddu", "base"}  # alike as shown
    assert best(TABLE, "micro_f1", digits=4, bound="bayes") == {"base"}
    assert best(TABLE, "auroc") == set()


def test_the_direction_of_a_declared_metric_counts():
    table = {"a": {"x": stat(1.0)}, "b": {"x": stat(2.0)}}
    assert scores.best_models(table, Metric("x", "x", lower_is_better=True)) == {"a"}
    assert scores.best_models(table, Metric("x", "x", lower_is_better=False)) == {"b"}
    with pytest.raises(ValueError, match="unknown metric 'x'"):
        scores.best_models(table, "x")
