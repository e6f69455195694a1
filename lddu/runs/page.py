"""Building blocks of a self-contained HTML page: sections, tables, figures."""

import base64
import datetime
import html
import importlib.metadata
import io
import platform
import string
from collections.abc import Sequence

_SVG_LIMIT = 300_000  # bytes; beyond this a PNG is smaller
_WIDE = 700  # pixels; on a phone, a wider figure scrolls instead of shrinking beyond legibility

_CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d9dee3;
  --page: #ffffff; --panel: #f6f8fa; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9da7b1; --line: #3a424b;
  --page: #15181c; --panel: #1e2329; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial,
  sans-serif; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 3rem 0 0.5rem; font-size: 1.3rem; }
.lead { max-width: 48rem; margin: 1rem 0; }
figcaption, caption, footer { color: var(--soft); font-size: 0.9rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1.5rem 0; padding: 0; }
.facts div { display: flex; flex-direction: column-reverse; min-width: 7.5rem;
  padding: 0.6rem 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--panel); }
.facts dt { color: var(--soft); font-size: 0.85rem; }
.facts dd { margin: 0; font-size: 1.4rem; font-weight: 600; line-height: 1.3; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; max-width: calc(100vw - 2.5rem); padding-top: 0.5rem;
  text-align: left; }
th, td { padding: 0.35rem 0.9rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child { padding-left: 0.2rem; text-align: left; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600;
  vertical-align: bottom; }
tbody th { font-weight: 500; }
.best { color: var(--accent); font-weight: 700; }
figure { margin: 0.75rem 0 0; }
figure img { display: block; max-width: 100%; height: auto; padding: 0.6rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: 8px; }
figcaption { max-width: 48rem; margin-top: 0.5rem; }
pre { overflow-x: auto; padding: 0.8rem 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--panel); font: 0.85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas,
  monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary { cursor: pointer; }
footer { margin-top: 3rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
@media (max-width: 40rem) { figure .wide { max-width: 52rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } h2 { break-after: avoid; }
  figure, table, .facts { break-inside: avoid; } .scroll { overflow: visible; }
  table, caption, figcaption { font-size: 8pt; } th, td { padding: 0.2rem 0.4rem; }
  thead th { white-space: normal; } }
"""

_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$css</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
</header>
<main>
$sections
</main>
<footer>Made by lddu on <time datetime="$date">$date</time> with $versions.</footer>
</body>
</html>
""")


def render(title: str, summary: str, sections: Sequence[str]) -> str:
    """Returns the whole page.

    Args:
      title: The headline, plain text.
      summary: HTML under the headline.
      sections: HTML from `section` and `figure_section`; empty ones are left out.
    """
    return _PAGE.substitute(
        title=html.escape(title),
        css=_CSS,
        summary=summary,
        sections="\n".join(filter(None, sections)),
        date=datetime.date.today().isoformat(),
        versions=html.escape(versions()),
    )


def section(heading: str, body: str) -> str:
    """Returns a section: a headline, plain text, above a body of HTML."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>"


def table(
    corner: str,
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, bool]]]],
    caption: str,
) -> str:
    """Returns a table.

    Args:
      corner: Text of the top left cell.
      head: Headings of the other columns.
      rows: Heading and cells of each row; a cell is its text and whether it stands out.
      caption: Text under the table.
    """
    columns = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in head)
    body = []
    for name, cells in rows:
        tds = "".join(
            f'<td class="best">{html.escape(text)}</td>'
            if best
            else f"<td>{html.escape(text)}</td>"
            for text, best in cells
        )
        body.append(f'<tr><th scope="row">{html.escape(name)}</th>{tds}</tr>')
    return _scrolling(
        caption,
        f"<table>\n<caption>{html.escape(caption)}</caption>\n"
        f'<thead><tr><th scope="col">{html.escape(corner)}</th>{columns}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(body)}\n</tbody>\n</table>",
    )


def figure_section(heading: str, figure, alt: str, caption: str) -> str:
    """Returns a section with a figure.

    The figure is an <img>, so that the ids inside one SVG cannot clash with another's.

    Args:
      heading: The headline, plain text.
      figure: A matplotlib figure.
      alt: Text in place of the figure for those who cannot see it.
      caption: Text under the figure.
    """
    import matplotlib

    buffer = io.BytesIO()
    # A fixed salt and no date: the same figure gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lddu", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    kind, data = "svg+xml", buffer.getvalue()
    if len(data) > _SVG_LIMIT:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=180, facecolor="white")
        kind, data = "png", buffer.getvalue()
    width = round(figure.get_size_inches()[0] * 96)
    wide = ' class="wide"' if width > _WIDE else ""
    image = (
        f'<img{wide} width="{width}" alt="{html.escape(alt)}" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    )
    return section(
        heading,
        f"<figure>{_scrolling(heading, image)}\n"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>",
    )


def _scrolling(name: str, body: str) -> str:
    """Returns HTML that scrolls sideways where it is wider than the page, also by keyboard."""
    label = html.escape(name)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{body}</div>'


def versions() -> str:
    """Returns the versions of the software that computed the figures."""
    found = [f"Python {platform.python_version()}"]
    for package in ("lddu", "jax", "flax", "numpy"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} (not installed as a package)")
    return ", ".join(found)
