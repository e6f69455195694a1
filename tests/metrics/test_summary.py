import jax.numpy as jnp
import numpy as np
import pytest

from lddu import metrics
from lddu.runs.scores import find_metric


def example():
    rng = np.random.default_rng(0)
    probs = rng.random((50, 3))
    probs[:20] /= 4
    labels = (rng.random((50, 3)) < probs).astype(int)
    labels[:20] = 0  # rows with nothing present and nothing predicted
    return probs, labels


def test_keys_order_and_values():
    probs, labels = example()
    thresholds = np.array([0.3, 0.5, 0.8])
    row = metrics.summarise(probs, labels, thresholds)
    assert all(type(value) is float for value in row.values())
    decisions = probs >= thresholds
    expected = {
        "nll": metrics.nll(probs, labels),
        "brier": metrics.brier(probs, labels),
        "ece": metrics.ece(probs, labels),
        "ece_macro": metrics.ece(probs, labels, average="macro"),
        "auroc": metrics.auroc(probs, labels),
        "map": metrics.average_precision(probs, labels),
        "micro_f1": metrics.f1(decisions, labels, "micro"),
        "macro_f1": metrics.f1(decisions, labels, "macro"),
        "micro_precision": metrics.precision(decisions, labels, "micro"),
        "micro_recall": metrics.recall(decisions, labels, "micro"),
        "jaccard": metrics.jaccard(decisions, labels, "one"),
        "jaccard_empty_zero": metrics.jaccard(decisions, labels, "zero"),
        "hamming_loss": metrics.hamming_loss(decisions, labels),
        "exact_match": metrics.exact_match(decisions, labels),
        "aurc": metrics.aurc((decisions != labels).ravel(), (probs * (1 - probs)).ravel()),
        "ece_adaptive": metrics.ece(probs, labels, binning="mass"),
        "ece_debiased": metrics.ece_debiased(probs, labels),
        "excess_aurc": metrics.excess_aurc(
            (decisions != labels).ravel(), (probs * (1 - probs)).ravel()
        ),
    }
    assert row == expected
    assert list(row) == list(expected)
    assert row["jaccard_empty_zero"] < row["jaccard"]


def test_each_decision_metric_takes_its_own_threshold():
    probs, labels = example()
    cuts = {name: 0.1 + 0.05 * k for k, name in enumerate(metrics.DECISION_METRICS)}
    row = metrics.summarise(probs, labels, cuts)
    for name, cut in cuts.items():
        alone = metrics.summarise(probs, labels, cut)
        assert row[name] == alone[name]
        assert row[name] != metrics.summarise(probs, labels, 0.95)[name]
    # All others do not depend on thresholds.
    assert {n: x for n, x in row.items() if n not in cuts} == {
        n: x for n, x in alone.items() if n not in cuts
    }
    per_label = np.array([0.2, 0.4, 0.6])
    some = metrics.summarise(probs, labels, {"jaccard": per_label})
    assert some["jaccard"] == metrics.summarise(probs, labels, per_label)["jaccard"]
    assert some["micro_f1"] == metrics.summarise(probs, labels)["micro_f1"]
    with pytest.raises(ValueError, match="thresholds names 'nll', must name metrics of decisions"):
        metrics.summarise(probs, labels, {"nll": 0.5})


def test_perfect_predictions():
    _, labels = example()
    row = metrics.summarise(labels, labels)
    errors = ("nll", "brier", "ece", "ece_macro", "hamming_loss", "aurc")
    for name in (*errors, "ece_adaptive", "ece_debiased", "excess_aurc"):
        assert row[name] == pytest.approx(0, abs=1e-6)
        assert find_metric(name).lower_is_better
    for name in ("auroc", "map", "micro_f1", "macro_f1", "jaccard", "exact_match"):
        assert row[name] == 1


def test_jax_arrays_and_bool_labels_are_welcome():
    probs, labels = example()
    probs = probs.astype(np.float32)
    assert metrics.summarise(jnp.asarray(probs), labels.astype(bool)) == metrics.summarise(
        probs, labels
    )
