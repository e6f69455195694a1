import base64
import json
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from lddu import metrics
from lddu.runs import page, report, results

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects the text, tags and attributes of a page, and checks that tags nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def arguments(labels=2, members=1, **changes):
    rng = np.random.default_rng(0)
    probs = rng.random((60, labels))
    truth = (rng.random((60, labels)) < probs).astype(float)
    truth[:, -1] = 0  # one class only
    history = [
        {"epoch": e, "member": m, "train_nll": 1 / e, "valid_nll": 0.5 + 0.1 * abs(e - 2)}
        for m in range(members)
        for e in (1, 2, 3)
    ]
    score = {"mean": 0.5, "std": 0.1, "n": 3}
    return {
        "title": "A run",
        "models": {"lddu": {"nll": score}, "base": {"nll": score | {"mean": 0.9}}},
        "history": history,
        "probs": probs,
        "labels": truth,
        "thresholds": np.full(labels, 0.5),
        "label_names": [f"label{c}" for c in range(labels)],
        "modality_names": ["text", "audio"],
        "weights": rng.dirichlet([1, 1, 1], (60, labels))[..., :2],
        "config_json": json.dumps({"train": {"monitor": "nll"}}),
        "command": "lddu train --seed 3",
    } | changes


def write(tmp_path, **kwargs):
    path = report.write_report(tmp_path / "out" / "report.html", **arguments(**kwargs))
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_and_has_all_parts(tmp_path):
    page = Page(write(tmp_path, labels=3, members=2, notes=["Made-up data."]))
    text = " ".join(page.text)
    for heading in (
        "Scores",
        "Labels",
        "Training",
        "Reliability",
        "Risk and coverage",
        "Modality weights",
        "How to run it again",
    ):
        assert heading in page.text
    for part in ("Made-up data.", "lddu train --seed 3", '"monitor"', "numpy", "jax", "flax"):
        assert part in text
    assert len(page.all("img")) == len(page.all("figcaption")) == 4
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("details")
    assert page.all("html") == [{"lang": "en"}]


def test_nothing_is_fetched_and_no_script_runs(tmp_path):
    text = write(tmp_path)
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    outside = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//\w|url\(|@import", outside)


def test_figures_are_svg_that_parses(tmp_path):
    for image in Page(write(tmp_path)).all("img"):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")


def test_a_large_figure_becomes_a_png(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_SVG_LIMIT", 10)
    for image in Page(write(tmp_path)).all("img"):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_hostile_text_is_escaped(tmp_path):
    evil = "<script>alert('$x')</script>\"&"
    text = write(
        tmp_path,
        title=evil,
        label_names=[evil, "b"],
        modality_names=[evil, "v"],
        command=evil,
        config_json=evil,
        notes=[evil],
        models={evil: {evil: {"mean": 1.0, "std": 0.0, "n": 1}}},
    )
    page = Page(text)
    assert not page.all("script")
    assert page.text.count(evil) >= 6
    assert evil in page.all("img")[-1]["alt"]


def test_same_input_same_bytes_but_for_the_date(tmp_path):
    first, second = (
        re.sub(r"<time.*?</time>", "", write(tmp_path / name, members=2)) for name in "ab"
    )
    assert first == second


def test_optional_parts_are_left_out(tmp_path):
    page = Page(write(tmp_path, weights=None, history=[], models={}))
    for heading in ("Scores", "Training", "Modality weights"):
        assert heading not in page.text
    assert len(page.all("img")) == 2
    assert "epochs" not in page.text


def cells(text, row):
    """The texts of the row whose heading is `row`."""
    found = re.search(rf'<tr><th scope="row">{row}</th>(.*?)</tr>', text).group(1)
    return re.findall(r"<td[^>]*>(.*?)</td>", found)


def test_labels_table_is_of_the_metrics(tmp_path):
    given = arguments()
    probs, labels = given["probs"], given["labels"]
    text = write(tmp_path)
    predicted = probs[:, 0] >= 0.5
    hits = (predicted & (labels[:, 0] > 0)).sum()
    expected = [
        labels[:, 0].mean(),
        probs[:, 0].mean(),
        0.5,
        hits / predicted.sum(),
        hits / labels[:, 0].sum(),
        2 * hits / (predicted.sum() + labels[:, 0].sum()),
        metrics.ece(probs[:, :1], labels[:, :1]),
    ]
    assert cells(text, "label0") == [f"{value:.3f}" for value in expected]
    never = cells(text, "label1")
    assert never[0] == "0.000"
    assert never[4] == "–"  # recall of a label that never occurs


def test_scores_turn_to_the_narrower_side_and_mark_the_best(tmp_path):
    text = write(tmp_path)
    assert cells(text, "lddu") == ["0.500 ± 0.100"]
    assert '<td class="best">0.500 ± 0.100</td>' in text
    assert "<td>0.900 ± 0.100</td>" in text
    score = {"mean": 0.25, "std": 0.0, "n": 1}
    turned = write(tmp_path, models={"lddu": {"nll": score, "micro_f1": score}})
    assert cells(turned, "NLL ↓") == cells(turned, "micro F1 ↑") == ["0.250"]


def test_risk_coverage_starts_at_twenty_and_ends_at_the_mean_risk():
    given = arguments()
    curves = report._curves(
        given["probs"], given["labels"], given["thresholds"], ["all labels", "b"]
    )
    assert list(curves) == ["all labels", "all labels (label)", "b"]
    coverage, risk = curves["all labels"]
    wrong = (given["probs"] >= 0.5) != (given["labels"] >= 0.5)
    np.testing.assert_allclose([coverage[0], coverage[-1]], [20 / 120, 1])
    np.testing.assert_allclose(risk[-1], wrong.mean())
    coverage, risk = report._thin(np.arange(1, 6) / 5, np.arange(5.0))
    assert coverage.tolist() == [1.0]  # fewer than twenty: only the whole


def test_monitor_comes_from_the_configuration():
    assert report._monitor('{"train": {"monitor": "micro_f1"}}') == "micro_f1"
    for text in ("", "[]", "{}", '{"train": {"monitor": "loss"}}', '{"train": null}'):
        assert report._monitor(text) == "nll"


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("lddu.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("lddu.plots", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'lddu\[viz\]'"):
        write(tmp_path)


def test_shapes_must_agree(tmp_path):
    with pytest.raises(ValueError, match="with C=1 names"):
        write(tmp_path, label_names=["one"])


def test_published_results_stand_beside_ours_with_their_protocols(tmp_path):
    published = [results.Published("They", {"nll": ".1-.2", "micro_f1": ".5"}, "chosen on <test>")]
    extra = {"published": published, "protocol": "chosen on validation", "data_card": "a & b"}
    path = report.write_report(tmp_path / "report.html", **arguments(), **extra)
    text = " ".join(Page(path.read_text()).text)
    for expected in ("They", ".1-.2", "chosen on <test>", "chosen on validation", "a & b"):
        assert expected in text
    assert "Beside published results" not in " ".join(
        Page(report.write_report(tmp_path / "plain.html", **arguments()).read_text()).text
    )
