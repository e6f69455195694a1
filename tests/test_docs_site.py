"""The documentation site builds without a warning, and everything on it leads somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import lddu

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PLAN = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = [
    room
    for line in re.findall(r"^```floors\n(.*?)^```", PLAN, re.S | re.M)[0].splitlines()
    for room in re.split(r" {2,}", line)[0].split()
]


def installed(module: str) -> bool:
    """Returns whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package
        return False


class Page(HTMLParser):
    """What a page of the site refers to, and which places on it can be referred to."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("id"):
            self.ids.add(attrs["id"])
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag in ("script", "img", "iframe", "link") and attrs.get("rel") != "canonical":
            self.loaded += [attrs[key] for key in ("src", "href") if attrs.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    missing = [module for module in NEEDED if not installed(module)]
    if missing:
        pytest.skip(f"needs pip install 'lddu[docs]' ({', '.join(missing)} not installed)")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line or "ERROR" in line]
    assert done.returncode == 0, "\n".join(warnings[:20]) or done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Path within the site -> its `Page`."""
    return {str(path.relative_to(site)): Page(path) for path in sorted(site.rglob("*.html"))}


@pytest.mark.slow
def test_every_page_is_built(pages):
    expected = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in PAGES}
    assert expected <= set(pages)


@pytest.mark.slow
def test_links_and_anchors_lead_somewhere(site, pages):
    broken = []
    for name, page in pages.items():
        for link in {*page.links, *page.loaded}:
            parts = urlsplit(link)
            if parts.scheme or name == "404.html":
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            inside = pages.get(os.path.relpath(target, site))
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and inside and anchor not in inside.ids):
                broken.append(f"{name}: {link}")
    assert not broken, "\n".join(broken[:20])


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(pages):
    outside = [
        (name, link)
        for name, page in pages.items()
        for link in page.loaded
        if urlsplit(link).netloc
    ]
    assert not outside


@pytest.mark.slow
def test_every_room_has_a_page(pages):
    listed = pages["reference/index.html"].links
    for room in ROOMS:
        assert f"{room}.html" in listed, room
        module = "lddu" if room == "lddu" else f"lddu.{room}"
        assert module in pages[f"reference/{room}.html"].ids


@pytest.mark.slow
def test_everything_public_has_an_entry(pages):
    entries = set().union(*(page.ids for page in pages.values()))
    for room in (lddu, lddu.metrics, lddu.calibration, lddu.losses, lddu.data, lddu.config):
        for name in room.__all__:
            thing = getattr(room, name)
            if callable(thing) and getattr(thing, "__doc__", None) and hasattr(thing, "__name__"):
                assert f"{thing.__module__}.{thing.__name__}" in entries, name


@pytest.mark.slow
def test_formulas_are_mathml(site):
    text = {
        str(path.relative_to(site)): path.read_text(encoding="utf-8")
        for path in site.rglob("*.html")
    }
    assert sum("<math" in page for page in text.values()) >= 8
    for name, page in text.items():
        assert "arithmatex" not in page, name
        for formula in re.findall(r"<math.*?</math>", page, re.S):
            assert "\\" not in formula, f"{name}: TeX is left in {formula}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_formulas_begin_and_end_on_a_page(path):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.S)
    assert text.count("$") % 2 == 0, "a dollar sign without its partner"


@pytest.mark.parametrize("folder", ["concepts", "howto", "cards"])
def test_pages_are_short(folder):
    for path in (ROOT / "docs" / folder).glob("*.md"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 150, path.name
