"""The pages that show a run: its report and, beside it, its explorer."""

import contextlib
from pathlib import Path

from lddu.runs.explorer import write_explorer
from lddu.runs.report import write_report
from lddu.runs.run import Run

SMALL = 1000
"""Largest number of test samples for which the explorer is written without being asked for."""


def write_pages(report: Path, run: Run, explore: bool = False) -> list[Path]:
    """Writes the report of a run, with its explorer beside it where the run is small.

    Args:
      report: The HTML file of the report. The explorer of `report.html` is `report-explorer.html`.
      run: The run.
      explore: Whether to write the explorer whatever the size of the run. Otherwise it is written
        for at most `SMALL` test samples, where the extra `explore` is installed.

    Returns:
      The path of the report, and that of the explorer if it was written. An older explorer there
      is removed in any case, since it may be that of another run.

    Raises:
      ImportError: If matplotlib is missing or, with `explore`, what draws the explorer.
      ValueError: If the run's table has an unknown metric, or the run is too large to explore.
    """
    report = Path(report)
    explorer = report.with_name(f"{report.stem}-explorer.html")
    explorer.unlink(missing_ok=True)
    with contextlib.suppress(*([] if explore else [ImportError])):
        if explore or len(run.predictions.ids) <= SMALL:
            write_explorer(explorer, run)
    written = explorer.exists()
    write_report(report, run, explorer if written else None)
    return [report, explorer] if written else [report]
