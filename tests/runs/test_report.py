import base64
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from lddu import config, plots
from lddu.runs import page, report
from lddu.runs.scores import Metric
from lddu.runs.tables import Published

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


def write(folder, run):
    return report.write_report(folder / "out" / "report.html", run).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(make_run, tmp_path_factory):
    """The report of two members on three labels; do not modify."""
    run = make_run(labels=3, members=2, notes=["Made-up data."])
    return write(tmp_path_factory.mktemp("report"), run)


def test_page_is_well_formed_and_has_all_parts(text):
    page = Page(text)
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
    words = " ".join(page.text)
    for part in ("Made-up data.", "lddu train --seed 3", '"monitor"', "numpy", "jax", "flax"):
        assert part in words
    assert "lddu report RUN --explore" in words
    for part in ("2 ensemble members", "3 epochs", "60 samples", "predictions of lddu."):
        assert part in words
    assert len(page.all("img")) == len(page.all("figcaption")) == 4
    assert all(image["alt"] for image in page.all("img"))
    assert page.all("details")
    assert page.all("html") == [{"lang": "en"}]


def test_nothing_is_fetched_and_no_script_runs(text):
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    outside = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|//\w|url\(|@import", outside)


def test_figures_are_svg_that_parses(text):
    for image in Page(text).all("img"):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")


def test_a_large_figure_becomes_a_png(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_SVG_LIMIT", 10)
    for image in Page(write(tmp_path, make_run())).all("img"):
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_hostile_text_is_escaped(make_run, tmp_path):
    evil = "<script>alert('$x')</script>\"&"
    run = make_run(
        label_names=[evil, "b"],
        modality_names=[evil, "v"],
        title=evil,
        command=evil,
        notes=[evil],
        table={evil: {evil: {"mean": 1.0, "std": 0.0, "n": 1}}},
        metrics=(Metric(evil, evil, lower_is_better=True),),
        data_card=evil,
    )
    page = Page(write(tmp_path, run))
    assert not page.all("script")
    assert page.text.count(evil) >= 6
    assert evil in page.all("img")[-1]["alt"]


def test_same_run_same_bytes_except_for_the_date(text, make_run, tmp_path):
    again = write(tmp_path, make_run(labels=3, members=2, notes=["Made-up data."]))
    first, second = (re.sub(r"<time.*?</time>", "", each) for each in (text, again))
    assert first == second


def test_optional_parts_are_left_out(make_run, tmp_path):
    page = Page(write(tmp_path, make_run(weights=None, history=[], table={})))
    for heading in ("Scores", "Training", "Modality weights", "Data", "Beside published results"):
        assert heading not in page.text
    assert len(page.all("img")) == 2
    assert "epochs" not in page.text


def test_published_results_stand_beside_ours_with_their_protocols(make_run, tmp_path):
    published = [Published("They", {"nll": ".1-.2", "micro_f1": ".5"}, "chosen on <test>")]
    run = make_run(published=published, protocol="chosen on validation", data_card="a & b")
    text = " ".join(Page(write(tmp_path, run)).text)
    for expected in ("They", ".1-.2", "chosen on <test>", "chosen on validation", "a & b"):
        assert expected in text


@pytest.mark.parametrize("monitor", ["nll", "micro_f1"])
def test_the_dot_is_at_the_score_that_chose_the_epoch(make_run, tmp_path, monkeypatch, monitor):
    asked, draw = [], plots.training_curves
    monkeypatch.setattr(
        plots, "training_curves", lambda history, by: asked.append(by) or draw(history, by)
    )
    cfg = config.replace(make_run().config, {"train.monitor": monitor})
    write(tmp_path, make_run(config=cfg))
    assert asked == [monitor]


def test_without_matplotlib_the_error_says_what_to_install(make_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("lddu.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("lddu.plots", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'lddu\[viz\]'"):
        write(tmp_path, make_run())
