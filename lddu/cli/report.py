"""`lddu report`: the report of a finished run again."""

from lddu.cli.arguments import MaybeFile, Run


def report(run: Run, explore: bool = False, out: MaybeFile = None) -> None:
    """Writes the report of a finished run again, and a page to explore its test samples.

    Runs of at most 1,000 test samples get that page, report-explorer.html, in any case.

    Example: lddu report runs/demo --explore

    Args:
      run: The run folder.
      explore: Whether to write the explorer of a larger run too: one file that needs no network,
        to sort and filter samples by their uncertainty, set a coverage and open single samples.
      out: The HTML file to write; `report.html` in the run folder if not given. The explorer has
        the same name with "-explorer" and lies beside it.
    """
    from lddu.runs.folder import read_run
    from lddu.runs.pages import write_pages

    for path in write_pages(run / "report.html" if out is None else out, read_run(run), explore):
        print(path)
