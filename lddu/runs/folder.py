"""A finished run on disk: its predictions, its results and its report."""

import os
from pathlib import Path

from lddu.runs.report import write_report
from lddu.runs.results import write_results
from lddu.runs.run import Run


def write_run(folder: str | os.PathLike, run: Run) -> Path:
    """Writes `predictions.npz`, `results.json` and `report.html` into a run folder.

    Args:
      folder: The run folder; created if it does not exist.
      run: The run to write.

    Returns:
      The path of the report.

    Raises:
      ImportError: If matplotlib, which draws the report, is missing. The other two files are
        written by then.
      ValueError: If the run's table has an unknown metric. The other two files are written by then.
    """
    folder = Path(folder)
    run.predictions.save(folder)
    write_results(folder, run.table, run.config, run.seconds, run.command)
    return write_report(folder / "report.html", run)
