"""Turns the TeX of the pages into MathML, which browsers render without scripts or fonts."""

import html
import re
from xml.etree import ElementTree

from latex2mathml import converter
from mkdocs.exceptions import PluginError

# What `pymdownx.arithmatex` writes in its generic mode: a span inline, a block of its own.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def on_page_content(content, page, **_):
    """Replaces the formulas of a page; raises PluginError at one that cannot be converted."""

    def convert(match: re.Match) -> str:
        tex = html.unescape(match[2])
        try:
            mathml = converter.convert(tex, display="block" if match[1] == "div" else "inline")
            ElementTree.fromstring(
                mathml
            )  # the converter writes an `&` that it does not know as is
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: {tex!r} is not understood: {error}") from error
        return mathml

    return _FORMULA.sub(convert, content)
