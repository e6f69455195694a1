"""The explorer in a headless Chromium: what it shows is what `lddu.metrics` computes.

The browser is the one that LDDU_BROWSER names, or that `playwright install chromium` installed.
"""

import dataclasses
import os
import re

import numpy as np
import pytest

from lddu import metrics, uncertainty
from lddu.metrics import averaging
from lddu.runs.explorer import write_explorer

pytest.importorskip("vl_convert", reason="needs pip install 'lddu[explore]'")
playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
pytestmark = pytest.mark.slow

SCORES = ("risk", "micro_f1", "macro_f1", "micro_precision", "micro_recall", "ece")
ALL = slice(None)


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("LDDU_BROWSER")
    with playwright.sync_playwright() as started:
        try:
            launched = started.chromium.launch(executable_path=path)
        except playwright.Error:
            if path:
                raise
            pytest.skip("no browser: set LDDU_BROWSER to one, or run `playwright install chromium`")
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def visit(browser, tmp_path_factory):
    """visit(run, **options): the explorer of a run in a new page, with what went wrong there."""

    def go(run, **options):
        path = write_explorer(tmp_path_factory.mktemp("explorer") / "page.html", run)
        page = browser.new_page(**options)
        page.trouble = []
        page.on("console", lambda message: page.trouble.append(message.text))
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("dialog", lambda dialog: page.trouble.append(dialog.message))
        page.on("request", lambda request: page.trouble.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        assert page.trouble.pop(0) == path.as_uri()
        return page

    return go


@pytest.fixture(scope="module")
def opened(visit, explored):
    return visit(explored, viewport={"width": 1280, "height": 900})


@pytest.fixture
def page(opened):
    """The explorer of `explored`, as it was when it was opened."""
    opened.keyboard.press("Escape")
    opened.click("#reset")
    opened.wait_for_selector("body[data-ready]")
    opened.trouble.clear()
    settle(opened)
    yield opened
    assert opened.trouble == []
    assert opened.evaluate("window.hacked") is None


@pytest.fixture(scope="module")
def arrays(explored):
    """What the run's decisions are, computed in Python."""
    model, detail = explored.predictions.models["lddu"], explored.detail
    probs = np.asarray(model.probs[0], float)
    decided = metrics.threshold(probs, model.thresholds[0])
    risk = np.where(decided, 1 - probs, probs)
    np.testing.assert_allclose(
        risk, uncertainty.decision_risk(probs, model.thresholds[0]), rtol=1e-5, atol=1e-6
    )
    return {
        "probs": probs,
        "labels": explored.predictions.labels,
        "decided": decided,
        "wrong": metrics.wrong(decided, explored.predictions.labels),
        "variance": probs * (1 - probs),
        "risk": risk,
        "aleatoric": np.asarray(detail.aleatoric, np.float32).astype(float),
        "epistemic": np.asarray(detail.epistemic, np.float32).astype(float),
        "ids": explored.predictions.ids,
    }


def settle(page):
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def set_coverage(page, coverage):
    page.evaluate(
        """x => { const slider = document.getElementById("slider"); slider.value = x;
        slider.dispatchEvent(new Event("input")); }""",
        coverage,
    )
    settle(page)


def numbers(page, selector):
    """The full values of the numbers in some elements, NaN where there is none."""
    values = page.eval_on_selector_all(f"{selector} data", "all => all.map(x => x.value)")
    return np.array(values, float)


def row_of(table, number, heading):
    """The numbers in a row of a table, which has that heading."""
    row = table.locator("tbody tr").nth(number)
    assert row.locator("th").text_content() == heading
    return np.array(row.locator("data").evaluate_all("all => all.map(x => x.value)"), float)


def shown_scores(page):
    return dict(zip(SCORES, numbers(page, "#scores"), strict=True))


def listed(page):
    """The names of all samples in the table, page by page."""
    names = page.locator("#samples tbody th").all_text_contents()
    while page.is_enabled("#turn-1"):
        page.click("#turn-1")
        settle(page)
        names += page.locator("#samples tbody th").all_text_contents()
    return names


def kept_labels(arrays, coverage, rank="variance", rows=ALL, label=ALL):
    """The labels of the decisions that a coverage keeps, NaN elsewhere, and their risk."""
    labels = np.full_like(arrays["labels"], np.nan)
    labels[rows, label] = arrays["labels"][rows, label]
    known, values = ~np.isnan(labels), arrays[rank]
    shares, risks = metrics.risk_coverage(
        np.where(known, arrays["wrong"], np.nan).ravel(), values.ravel()
    )
    first = np.searchsorted(shares, coverage * (1 - 1e-12))
    kept = known & (values <= np.sort(values[known])[first])
    return np.where(kept, labels, np.nan), risks[kept.sum() - 1]


def expected_scores(arrays, *given, **options):
    labels, risk = kept_labels(arrays, *given, **options)
    decided = arrays["decided"]
    with averaging.silent():
        return {
            "risk": risk,
            "micro_f1": metrics.f1(decided, labels),
            "macro_f1": metrics.f1(decided, labels, "macro"),
            "micro_precision": metrics.precision(decided, labels),
            "micro_recall": metrics.recall(decided, labels),
            "ece": metrics.ece(arrays["probs"], labels),
        }


def test_it_draws_without_errors(page, explored):
    assert page.title() == f"Explorer: {explored.title}"
    for chart in ("curve", "reliability", "map"):
        assert page.locator(f"#{chart} canvas").count() == 1
        assert page.get_attribute(f"#{chart}", "aria-label")
    assert page.locator("#missing").is_hidden()


@pytest.mark.parametrize("rank", ["variance", "risk", "aleatoric", "epistemic"])
@pytest.mark.parametrize("coverage", [0.01, 0.33, 0.8, 1])
def test_scores_follow_the_coverage(page, arrays, rank, coverage):
    page.select_option("#rank", rank)
    set_coverage(page, coverage)
    assert shown_scores(page) == pytest.approx(expected_scores(arrays, coverage, rank), rel=1e-9)


@pytest.mark.parametrize("coverage", [0.4, 1])
def test_bins_and_labels_follow_the_coverage(page, arrays, coverage):
    set_coverage(page, coverage)
    labels, _ = kept_labels(arrays, coverage)
    bins = metrics.reliability(arrays["probs"], labels)
    full = bins.counts > 0
    page.click("text=As a table")
    found = numbers(page, "#bins").reshape(-1, 2)
    np.testing.assert_allclose(found[:, 0], bins.mean_prob[full], rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], bins.observed[full], rtol=1e-9, atol=1e-15)
    counts = page.locator("#bins td:nth-child(3)").all_text_contents()
    assert counts == [f"{n:.0f}" for n in bins.counts[full]]
    each = metrics.f1(arrays["decided"], labels, "none")
    np.testing.assert_allclose(numbers(page, "#labels"), each, rtol=1e-9)
    kept = np.sum(~np.isnan(labels), axis=0), np.sum(~np.isnan(arrays["labels"]), axis=0)
    cells = page.locator("#labels td:nth-child(2)").all_text_contents()
    assert cells == [f"{k} of {n}" for k, n in zip(*kept, strict=True)]


def test_dragging_over_the_curve_sets_the_coverage(page, arrays):
    page.locator("#curve canvas").scroll_into_view_if_needed()
    box = page.locator("#curve canvas").bounding_box()
    middle = box["y"] + box["height"] / 2
    reached = []
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    page.mouse.down()
    for part in (1, 0.8, 0.5, 0):
        page.mouse.move(box["x"] + part * (box["width"] - 1), middle)
        settle(page)
        reached.append(float(page.input_value("#slider")))
        found = shown_scores(page)
        assert found == pytest.approx(expected_scores(arrays, reached[-1]), rel=1e-9)
    page.mouse.up()
    assert reached == sorted(reached, reverse=True)
    assert (reached[0], reached[-1], len(set(reached))) == (1, 0.01, 4)
    page.mouse.move(box["x"] + box["width"], middle)
    settle(page)
    assert float(page.input_value("#slider")) == 0.01, "the button is up"


def test_the_slider_obeys_the_keyboard(page):
    page.focus("#slider")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert float(page.input_value("#slider")) == pytest.approx(0.99)
    assert page.text_content("#shown") == page.get_attribute("#slider", "aria-valuetext") != "100 %"


def test_what_is_set_aside_is_marked(page, arrays):
    set_coverage(page, 0.3)
    labels, _ = kept_labels(arrays, 0.3)
    cut = arrays["variance"][~np.isnan(labels)].max()
    aside = page.locator("#samples .aside").count()
    while page.is_enabled("#turn-1"):
        page.click("#turn-1")
        settle(page)
        aside += page.locator("#samples .aside").count()
    assert aside == np.sum(arrays["decided"] & (arrays["variance"] > cut))


@pytest.mark.parametrize("label", ["-1", "1"])
@pytest.mark.parametrize(
    ("truth", "decision", "outcome"),
    [
        ("present", "absent", "any"),
        ("any", "any", "right"),
        ("absent", "any", "wrong"),
        ("unknown", "present", "any"),
    ],
)
def test_filters_leave_the_samples_that_fit(page, arrays, label, truth, decision, outcome):
    for name, value in zip(
        ("label", "truth", "decision", "outcome"), (label, truth, decision, outcome), strict=True
    ):
        page.select_option(f"#{name}", value)
    settle(page)
    y, decided, wrong = (arrays[name] for name in ("labels", "decided", "wrong"))
    fits = {
        "truth": {"present": y == 1, "absent": y == 0, "unknown": np.isnan(y)},
        "decision": {"present": decided, "absent": ~decided},
        "outcome": {"right": wrong == 0, "wrong": wrong == 1},
    }
    chosen = {"truth": truth, "decision": decision, "outcome": outcome}
    masks = [fits[name][value] for name, value in chosen.items() if value != "any"]
    column = ALL if label == "-1" else [int(label)]
    rows = np.logical_and.reduce(masks)[:, column].any(1)
    assert 0 < rows.sum() < len(rows)
    assert sorted(listed(page)) == sorted(arrays["ids"][rows])
    assert page.text_content("#status").startswith(f"{rows.sum()} of 60 samples")
    if truth == "any" and label == "1":
        found = expected_scores(arrays, 1, rows=rows, label=1)
        assert shown_scores(page) == pytest.approx(found, rel=1e-9)


def test_a_filter_that_leaves_nothing_shows_dashes(page, arrays):
    page.fill("#text", "no such name")
    settle(page)
    assert page.text_content("#status") == "0 of 60 samples. No decision on a known label."
    assert page.locator("#scores dd").all_text_contents() == ["–"] * len(SCORES)
    assert page.locator("#samples tbody tr").count() == 0
    page.fill("#text", "")
    settle(page)
    assert shown_scores(page) == pytest.approx(expected_scores(arrays, 1), rel=1e-9)


def test_ranges_and_names_filter(page, arrays, explored):
    page.click("summary:has-text('Ranges')")
    page.fill("#aleatoric-0", "0.05")
    page.fill("#weight1-1", "0.4")
    page.fill("#text", "</SCRIPT>")
    settle(page)
    weight = explored.weights[..., 1].mean(1)
    rows = (arrays["aleatoric"].mean(1) >= 0.05) & (weight <= 0.4)
    rows &= ["</script>" in name for name in arrays["ids"]]
    assert 0 < rows.sum() < 20
    assert sorted(listed(page)) == sorted(arrays["ids"][rows])


def test_brushing_the_map_filters(page, arrays):
    page.locator("#map canvas").scroll_into_view_if_needed()
    box = page.locator("#map canvas").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    playwright.expect(page.locator("#epistemic-1")).not_to_have_value("")
    settle(page)
    rows = np.ones(60, bool)
    for name in ("aleatoric", "epistemic"):
        low, high = (float(page.input_value(f"#{name}-{side}")) for side in (0, 1))
        values = arrays[name].mean(1)
        rows &= (values >= low) & (values <= high)
    assert 0 < rows.sum() < 60
    assert sorted(listed(page)) == sorted(arrays["ids"][rows])
    assert shown_scores(page) == pytest.approx(expected_scores(arrays, 1, rows=rows), rel=1e-9)


@pytest.mark.parametrize("name", ["wrong", "risk", "epistemic"])
def test_columns_sort(page, arrays, name):
    values = np.nanmean(arrays[name], axis=1)
    if name != "risk":  # by which the table is sorted at first
        page.click(f"#sort-{name}")
    for direction in (-1, 1):
        settle(page)
        order = listed(page)
        found = [values[list(arrays["ids"]).index(each)] for each in order]
        np.testing.assert_allclose(found, direction * np.sort(direction * values))
        state = page.get_attribute(f"th:has(#sort-{name})", "aria-sort")
        assert state == ("descending" if direction < 0 else "ascending")
        page.click(f"#sort-{name}")


def test_a_sample_opens_with_its_neighbours(page, arrays, explored):
    name = page.text_content("#samples tbody tr:first-child button")
    page.click("#samples tbody tr:first-child button")
    page.wait_for_selector("#probabilities canvas")
    row = list(arrays["ids"]).index(name)
    assert page.text_content("#sample-heading") == name
    decided, opinions = page.locator("#sample table").all()
    observed = explored.detail.observed[row]
    for c, label in enumerate(explored.predictions.label_names):
        expected = [arrays[x][row, c] for x in ("probs", "risk", "aleatoric", "epistemic")]
        np.testing.assert_allclose(row_of(decided, c, label), expected, rtol=1e-9)
        both = explored.weights, explored.detail.unimodal
        expected = np.concatenate([block[row, c][observed] for block in both])
        np.testing.assert_allclose(row_of(opinions, c, label), expected, atol=1e-5)
    near = page.locator("#sample li button")
    assert near.all_text_contents() == list(arrays["ids"][explored.detail.neighbours[row]])
    near.nth(1).click()
    page.wait_for_selector("#probabilities canvas")
    assert page.text_content("#sample-heading") == arrays["ids"][explored.detail.neighbours[row, 1]]
    page.keyboard.press("Escape")
    assert not page.locator("#sample").is_visible()
    assert page.evaluate("document.activeElement.textContent") == name


def test_hostile_names_stay_text(page, explored):
    options = page.locator("#label option").all_text_contents()
    assert options == ["all labels", *explored.predictions.label_names]
    assert page.text_content("h1") == explored.title
    assert page.locator("main img, main script").count() == 0
    assert set(listed(page)) == set(explored.predictions.ids)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(visit, explored, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(explored, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for _ in range(2):  # the page, then with an open sample
        found = axe.Axe().run(page).response["violations"]
        serious = [x["id"] for x in found if x["impact"] in ("serious", "critical")]
        assert serious == []
        page.click("#samples tbody tr:first-child button", force=True)
        page.wait_for_selector("#probabilities canvas")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", colour))) < 60) == (scheme == "dark")
    assert page.trouble == []


def test_a_run_without_detail_says_what_is_missing(visit, explored):
    bare = visit(dataclasses.replace(explored, detail=None, weights=None))
    assert "keeps no aleatoric and epistemic uncertainty" in bare.text_content("#missing")
    heads = bare.locator("#samples thead th").all_text_contents()
    assert heads[:3] == ["sample", "true", "decided"]
    assert heads[3:] == ["share wrong", "decision risk ↓", "variance p (1 − p)"]
    bare.click("#samples tbody tr:first-child button")
    bare.wait_for_selector("#probabilities canvas")
    assert bare.locator("#sample li").count() == 0
    assert bare.trouble == []
