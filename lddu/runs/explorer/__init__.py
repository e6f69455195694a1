"""The explorer: one HTML file in which one sorts, filters and opens the test samples of a run.

- `data`: what the page shows, as JSON values.
- `library`: the plotting library, Vega-Lite, that goes into the page.
- `page`: the page itself, from `page.html`, `style.css` and the scripts beside them:
  `run.js` decodes the data, `selection.js` filters and scores, `charts.js` draws,
  `controls.js`, `samples.js` and `sample.js` are the parts of the page, `main.js` joins them.
"""

from lddu.runs.explorer.page import write_explorer

__all__ = ["write_explorer"]
