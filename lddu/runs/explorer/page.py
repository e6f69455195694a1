"""The page of the explorer: one HTML file that fetches nothing."""

import base64
import datetime
import hashlib
import html
import json
import os
import string
from importlib import resources
from pathlib import Path
from typing import Any

from lddu import files
from lddu.runs import page
from lddu.runs.explorer.data import content
from lddu.runs.explorer.library import library
from lddu.runs.run import Run

SCRIPTS = ("run", "selection", "charts", "controls", "samples", "sample", "main")
"""The parts of the page's own script, in order."""


def write_explorer(path: str | os.PathLike, run: Run) -> Path:
    """Writes the explorer of a run as one HTML file.

    Args:
      path: The file; its folder is created if it does not exist.
      run: The run. The page shows the first of its main model's predictions, and says what the run
        lacks.

    Returns:
      The path. The same run gives the same bytes, except for the date.

    Raises:
      ImportError: If the package with the plotting library is missing.
      ValueError: If the run has too many samples for one page.
    """
    files.write_text(path, render(content(run), library()))
    return Path(path)


def render(run: dict[str, Any], plots: str) -> str:
    """Returns the page.

    The data are no script, and the page's policy lets the browser run only the two scripts that
    are in it, and load nothing.

    Args:
      run: What `lddu.runs.explorer.data.content` returned.
      plots: JavaScript that defines `vegaEmbed`.
    """
    style = _read("style.css")
    own = "\n".join(["(() => {", '"use strict";', *(_read(f"{x}.js") for x in SCRIPTS), "})();"])
    scripts = " ".join(map(_digest, (plots, own)))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    date = datetime.date.today().isoformat()
    return string.Template(_read("page.html")).substitute(
        title=html.escape(run["title"]),
        policy=html.escape(policy),
        style=style,
        data=embedded(run),
        library=plots,
        script=own,
        date=date,
        versions=html.escape(page.versions()),
    )


def embedded(value: Any) -> str:
    """Returns JSON that may stand inside an HTML element: no character in it ends the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(character): f"\\u{ord(character):04x}" for character in "<>&"})


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Returns how a policy names a script or style that is in the page itself."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
