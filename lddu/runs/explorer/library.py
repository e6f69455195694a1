"""The plotting library that goes into the explorer: Vega-Embed, with Vega-Lite and Vega."""

import contextlib
import functools
import importlib.metadata

from lddu.data.cache import cache_folder
from lddu.files import write_text

_SNIPPET = "window.vegaEmbed = vegaEmbed;"


@functools.cache
def library() -> str:
    """Returns JavaScript that defines `vegaEmbed`.

    It comes from the package vl-convert-python, which takes seconds to put it together, so the
    text is kept in `lddu.data.cache.cache_folder()` for each version of the package.

    Raises:
      ImportError: If the package is missing.
    """
    try:
        version = importlib.metadata.version("vl-convert-python")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(
            "the explorer needs vl-convert-python: pip install 'lddu[explore]'"
        ) from error
    path = cache_folder() / f"vega-embed-{version}.js"
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        import vl_convert

        text = vl_convert.javascript_bundle(_SNIPPET)
        with contextlib.suppress(OSError):  # it only saves time
            write_text(path, text)
    # In a script, what would end its element means the same with a backslash.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
