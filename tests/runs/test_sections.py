import re

import numpy as np
import pytest

from lddu import metrics
from lddu.runs import sections
from lddu.runs.scores import Metric


def stat(mean, std=0.0, n=1):
    return {"mean": mean, "std": std, "n": n}


@pytest.fixture
def predicted():
    """Probabilities, labels and thresholds; the second label never occurs."""
    rng = np.random.default_rng(0)
    probs = rng.random((60, 2))
    labels = (rng.random((60, 2)) < probs).astype(float)
    labels[:, 1] = 0
    return probs, labels, np.full((60, 2), 0.5)


def cells(text, row):
    """The texts of the row whose heading is `row`."""
    match = re.search(rf'<tr><th scope="row">{re.escape(row)}</th>(.*?)</tr>', text)
    return re.findall(r"<td[^>]*>(.*?)</td>", match.group(1))


def test_scores_turn_to_the_narrower_side_and_mark_the_best():
    table = {"lddu": {"nll": stat(0.5, 0.1, 3)}, "base": {"nll": stat(0.9, 0.1, 3)}}
    text = sections.scores(table)
    assert cells(text, "lddu") == ["0.500 ± 0.100"]
    assert '<td class="best">0.500 ± 0.100</td>' in text
    assert "<td>0.900 ± 0.100</td>" in text
    turned = sections.scores({"lddu": {"nll": stat(0.25), "micro_f1": stat(0.25)}})
    assert cells(turned, "NLL ↓") == cells(turned, "micro F1 ↑") == ["0.250"]


def test_a_bound_takes_no_part_and_is_named():
    table = {"lddu": {"nll": stat(0.5)}, "truth": {"nll": stat(0.1)}}
    assert '<td class="best">0.100</td>' in sections.scores(table)
    text = sections.scores(table, bound="truth")
    assert '<td class="best">0.500</td>' in text
    assert "truth is a bound" in text


def test_other_metrics_must_be_declared():
    table = {"a": {"speed": stat(1.0)}, "b": {"speed": stat(2.0)}}
    with pytest.raises(ValueError, match="unknown metric 'speed'"):
        sections.scores(table)
    text = sections.scores(table, (Metric("speed", "speed per second", lower_is_better=False),))
    assert "speed per second ↑" in text
    assert '<td class="best">2.000</td>' in text


def test_labels_table_is_of_the_metrics(predicted):
    probs, labels, _ = predicted
    text = sections.per_label(*predicted, ["a", "b"])
    decided = probs[:, 0] >= 0.5
    hits = (decided & (labels[:, 0] > 0)).sum()
    expected = [
        labels[:, 0].mean(),
        probs[:, 0].mean(),
        0.5,
        hits / decided.sum(),
        hits / labels[:, 0].sum(),
        2 * hits / (decided.sum() + labels[:, 0].sum()),
        metrics.ece(probs[:, :1], labels[:, :1]),
    ]
    assert cells(text, "a") == [f"{value:.3f}" for value in expected]
    never = cells(text, "b")
    assert never[0] == "0.000"
    assert never[4] == "–"  # recall of a label that never occurs


def test_risk_coverage_starts_at_twenty_and_ends_at_the_mean_risk(predicted):
    probs, labels, thresholds = predicted
    curves = sections._curves(*predicted, ["all labels", "b"])
    assert list(curves) == ["all labels", "all labels (label)", "b"]
    coverage, risk = curves["all labels"]
    wrong = (probs >= thresholds) != (labels >= 0.5)
    np.testing.assert_allclose([coverage[0], coverage[-1]], [20 / 120, 1])
    np.testing.assert_allclose(risk[-1], wrong.mean())
    coverage, risk = sections._thin(np.arange(1, 6) / 5, np.arange(5.0))
    assert coverage.tolist() == [1.0]  # fewer than twenty: only the whole


def test_nothing_to_show_is_no_section():
    assert sections.scores({}) == ""
    assert sections.published({"lddu": {"nll": stat(0.5)}}, (), "chosen on validation") == ""
    assert sections.training([], "nll") == ""
    assert sections.modality_weights(None, ["a"], ["text"]) == ""
    assert sections.data("") == ""


def test_unknown_labels_have_no_part(predicted):
    probs, labels, thresholds = predicted
    labels[:20, 0] = np.nan
    labels[:, 1] = np.nan
    text = sections.per_label(probs, labels, thresholds, ["a", "b"])
    own = sections.per_label(probs[20:, :1], labels[20:, :1], thresholds[20:, :1], ["a"])
    assert cells(text, "a") == cells(own, "a")
    assert cells(text, "b") == ["–", "–", "0.500", "–", "–", "–", "–"]
    assert "66.7% are unknown" in text
    assert "unknown" not in own
    curves = sections._curves(probs, labels, thresholds, ["a", "b"])
    assert list(curves) == ["all labels", "a"]
    np.testing.assert_array_equal(curves["a"], curves["all labels"])
    assert sections.reliability(probs, labels, ["a", "b"])
