"""Makes links of the repository's pages work on the site, and names of the library into links."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# Files of the repository outside docs/ -> where they lie on the site.
OUTSIDE = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CITATION.cff": "CITATION.cff",
    **{
        path: path
        for path in (f"notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb"))
    },
}
_INSIDE = {site: path for path, site in OUTSIDE.items()}
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.S | re.M)
_LINK = re.compile(r"\]\((?!https://)([^)\s#]+)(#[^)\s]*)?\)")
# A name in code style that is neither part of a link's text nor of a heading.
_NAME = re.compile(r"^#.*$|\[[^\]]*\]\([^)]*\)|`(lddu(?:\.\w+)+)`", re.M)


def on_files(files, config):
    """Adds the files outside docs/ that pages link to."""
    for path, site in OUTSIDE.items():
        files.append(File.generated(config, site, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, page, **_):
    """Rewrites relative links, and links names such as `lddu.fit` to the reference."""
    here = page.file.src_uri
    source = _INSIDE.get(here, f"docs/{here}")

    def link(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        target = OUTSIDE.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}{match[2] or ''})"

    def name(match: re.Match) -> str:
        # The changelog names things that later versions renamed. Links are optional, because not
        # every name has an entry (constants); tests/test_readme.py checks that all names exist.
        if not match[1] or here == OUTSIDE["CHANGELOG.md"]:
            return match[0]
        return f'<autoref identifier="{match[1]}" optional><code>{match[1]}</code></autoref>'

    parts = _FENCE.split(markdown)
    parts[::2] = [_NAME.sub(name, _LINK.sub(link, part)) for part in parts[::2]]
    return "".join(parts)
