"""The explorer's file, read without a browser."""

import base64
import dataclasses
import hashlib
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from lddu import metrics
from lddu.runs import folder, pages, sections
from lddu.runs.explorer import data, library, page

PLOTS = "window.vegaEmbed = null;"
KINDS = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "u2": "<u2", "u1": "u1"}


class Page(HTMLParser):
    """Collects tags with their attributes, and the text of each script, style and title."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.inside, self.inner = [], None, {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag in ("script", "style", "title", "h1"):
            self.inner.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in self.inner:
            self.inner[self.inside][-1] += data


def unpack(packed):
    kind, shape = packed["kind"], packed["shape"]
    array = np.frombuffer(base64.b64decode(packed["data"]), KINDS[kind]).reshape(shape)
    return array / 65535 if kind == "u2" else array


@pytest.fixture(scope="module")
def text(explored):
    return page.render(data.content(explored), PLOTS)


def test_hostile_names_stay_data(text, explored):
    read = Page(text)
    assert [tag for tag, _ in read.tags].count("script") == 3
    assert "img" not in [tag for tag, _ in read.tags]
    assert read.inner["h1"] == [explored.title]
    assert read.inner["title"] == [f"Explorer: {explored.title}"]
    run = json.loads(read.inner["script"][0])
    assert tuple(run["labels"]) == explored.predictions.label_names
    assert run["ids"] == explored.predictions.ids.tolist()
    assert not set("<>&\u2028") & set(read.inner["script"][0])


def test_the_policy_allows_the_page_itself_and_nothing_else(text):
    read = Page(text)
    (policy,) = (x["content"] for tag, x in read.tags if "http-equiv" in x)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}

    def digest(content):
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    assert rules["script-src"].split() == list(map(digest, read.inner["script"][1:]))
    assert rules["style-src"].split() == list(map(digest, read.inner["style"]))


def test_nothing_is_fetched(text):
    for tag, attrs in Page(text).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not {"src", "href", "action", "style"} & set(attrs)
    assert not re.search(r"https?:|//\w+\.|url\(|@import|fetch\(|eval\(|innerHTML", text)


def test_what_a_screen_reader_needs_is_there(text):
    read = Page(text)
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = {x["aria-labelledby"] for _, x in read.tags if "aria-labelledby" in x}
    assert named - set(ids) == {"sample-heading"}  # which is made with the sample
    assert {"role": "status", "id": "status"} in [dict(x) for _, x in read.tags]
    assert ("html", {"lang": "en"}) in read.tags


def test_arrays_are_packed_as_they_are(explored):
    columns = data.content(explored)["columns"]
    predictions, detail = explored.predictions, explored.detail
    exact = {"probs": predictions.models["lddu"].probs[0], "labels": predictions.labels}
    exact |= {name: getattr(detail, name) for name in ("aleatoric", "neighbours", "observed")}
    for name, array in exact.items():
        np.testing.assert_array_equal(unpack(columns[name]), array)
    np.testing.assert_array_equal(unpack(columns["thresholds"]), [[0.3, 0.4, 0.5]])
    for name, array in {"weights": explored.weights, "low": detail.low}.items():
        np.testing.assert_allclose(unpack(columns[name]), array, atol=1e-5)


def test_cuts_of_folds_are_kept_for_every_sample(explored):
    cuts = np.random.default_rng(0).random((1, 60, 3))
    model = dataclasses.replace(explored.predictions.models["lddu"], thresholds=cuts)
    predictions = dataclasses.replace(explored.predictions, models={"lddu": model})
    found = data.content(dataclasses.replace(explored, predictions=predictions))
    np.testing.assert_array_equal(unpack(found["columns"]["thresholds"]), cuts[0])


def test_bins_are_those_of_the_metrics(explored):
    expected = metrics.reliability(explored.predictions.models["lddu"].probs[0], np.ones((60, 3)))
    assert data.content(explored)["bins"] == expected.edges.tolist()


def test_what_a_run_lacks_is_said(explored):
    assert data.content(explored)["missing"] == []
    bare = data.content(dataclasses.replace(explored, detail=None, weights=None))
    assert len(bare["missing"]) == 5
    assert set(bare["columns"]) == {"thresholds", "probs", "labels"}


def test_a_run_too_large_for_one_page_is_refused(explored, monkeypatch):
    monkeypatch.setattr(data, "MOST", 179)
    with pytest.raises(ValueError, match="180 decisions"):
        data.content(explored)


def test_a_decision_takes_few_bytes(explored):
    """All numbers of a decision with two modalities, and its share of what a sample has."""
    columns = data.content(explored)["columns"]
    size = sum(len(packed["data"]) for packed in columns.values())
    assert size < 70 * explored.predictions.labels.size


def test_the_page_without_data_and_library_is_small(explored):
    run = data.content(explored) | {"columns": {}, "ids": []}
    assert len(page.render(run, "").encode()) < 60_000


def test_same_run_same_bytes_except_for_the_date(text, explored):
    again = page.render(data.content(explored), PLOTS)
    first, second = (re.sub(r"<time.*?</time>", "", each) for each in (text, again))
    assert first == second


@pytest.fixture
def drawn(monkeypatch):
    """What reports are told of an explorer; they are not drawn, and libraries not looked for."""
    told = []
    monkeypatch.setattr(page, "library", lambda: PLOTS)
    monkeypatch.setattr(pages, "write_report", lambda path, run, explorer: told.append(explorer))
    return told


def test_a_small_run_has_an_explorer_and_a_large_one_on_demand(
    explored, tmp_path, drawn, monkeypatch
):
    report, explorer = tmp_path / "report.html", tmp_path / "report-explorer.html"
    assert pages.write_pages(report, explored) == [report, explorer]
    monkeypatch.setattr(pages, "SMALL", 59)
    assert pages.write_pages(report, explored) == [report]
    assert not explorer.exists()
    assert pages.write_pages(report, explored, explore=True) == [report, explorer]
    assert drawn == [explorer, None, explorer]


@pytest.fixture
def without_library(monkeypatch, drawn):
    def missing(name):
        raise library.importlib.metadata.PackageNotFoundError(name)

    library.library.cache_clear()
    monkeypatch.setattr(library.importlib.metadata, "version", missing)
    monkeypatch.setattr(page, "library", library.library)
    yield
    library.library.cache_clear()


def test_without_the_library_only_the_demand_fails(explored, tmp_path, without_library):
    report = tmp_path / "report.html"
    assert pages.write_pages(report, explored) == [report]
    with pytest.raises(ImportError, match=r"pip install 'lddu\[explore\]'"):
        pages.write_pages(report, explored, explore=True)


def test_the_report_leads_to_the_explorer():
    links = [x["href"] for tag, x in Page(sections.explorer('<"if?.html')).tags if tag == "a"]
    assert links == ["%3C%22if%3F.html"]
    assert "lddu report RUN --explore" in sections.explorer(None)


def test_the_library_is_kept_for_the_next_time(tmp_path, monkeypatch):
    class Maker:
        calls = 0

        @classmethod
        def javascript_bundle(cls, snippet):
            cls.calls += 1
            return f"{snippet} '</script><!--'"

    monkeypatch.setenv("LDDU_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "vl_convert", Maker)
    monkeypatch.setattr(library.importlib.metadata, "version", lambda name: "0")
    for _ in range(2):
        library.library.cache_clear()
        assert library.library().endswith(r"'<\/script><\!--'")
    assert Maker.calls == 1
    library.library.cache_clear()


def test_a_run_folder_keeps_the_detail(explored, tmp_path, drawn):
    folder.write_run(tmp_path, explored)
    read = folder.read_run(tmp_path)
    np.testing.assert_array_equal(read.detail.neighbours, explored.detail.neighbours)
    again, first = data.content(read), data.content(explored)
    assert again["columns"]["probs"] == first["columns"]["probs"]
    folder.write_run(tmp_path, dataclasses.replace(explored, detail=None, weights=None))
    read = folder.read_run(tmp_path)
    assert (read.detail, read.weights) == (None, None)


def test_weights_that_do_not_fit_are_damage(explored, tmp_path, drawn):
    folder.write_run(tmp_path, explored)
    np.save(tmp_path / folder.WEIGHTS, np.zeros((60, 3)))
    with pytest.raises(ValueError, match=r"weights\.npy is damaged"):
        folder.read_run(tmp_path)
