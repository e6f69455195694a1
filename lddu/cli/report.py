"""`lddu report`: the report of a finished run again."""

from lddu.cli.arguments import MaybeFile, Run


def report(run: Run, out: MaybeFile = None) -> None:
    """Writes the report of a finished run again, from what its folder keeps.

    Example: lddu report runs/demo --out demo.html

    Args:
      run: The run folder.
      out: The HTML file to write; `report.html` in the run folder if not given.
    """
    from lddu.runs.folder import read_run
    from lddu.runs.report import write_report

    print(write_report(run / "report.html" if out is None else out, read_run(run)))
