"""Tables of scores as plain text or Markdown."""

import dataclasses
from collections.abc import Mapping, Sequence

from lddu.runs.scores import Metric, Stat, Table, best_models, find_metric, is_defined

MISSING = "–"


@dataclasses.dataclass(frozen=True)
class Published:
    """A result published by others.

    Attributes:
      model: Who published it, and for which model.
      scores: Metric, under our name -> the figure as published, for instance ".565-.568".
      protocol: What was chosen on which split.
    """

    model: str
    scores: Mapping[str, str]
    protocol: str


def format_table(
    table: Table,
    columns: Sequence[str | Metric],
    *,
    markdown: bool = False,
    digits: int = 3,
    bound: str | None = None,
) -> str:
    """Returns an aligned table with one model per row.

    Args:
      table: Statistics of each model.
      columns: The metrics to show, in order: names of `lddu.runs.scores.METRICS`, or `Metric`s.
      markdown: Whether to write a Markdown table with the best of each column in bold.
      digits: Number of decimals.
      bound: A model that is never in bold, because it is a bound on what any model can reach.

    Returns:
      The lines of the table, without a newline at the end.

    Raises:
      ValueError: If a metric is unknown.

    Example:
      >>> table = {"prior": {"nll": {"mean": 0.5, "std": 0.0, "n": 1}}}
      >>> print(format_table(table, ["nll"]))
      model    nll
      prior  0.500
    """
    metrics = [find_metric(column) for column in columns]
    rows = [["model", *(metric.name for metric in metrics)]]
    best = [best_models(table, metric, digits, bound) for metric in metrics]
    for model, scores in table.items():
        cells = [format_stat(scores.get(metric.name), digits) for metric in metrics]
        if markdown:
            pairs = zip(cells, best, strict=True)
            cells = [f"**{cell}**" if model in winners else cell for cell, winners in pairs]
        rows.append([model.replace("|", r"\|") if markdown else model, *cells])
    return align(rows, markdown)


def format_stat(stat: Stat | None, digits: int = 3) -> str:
    """Returns "0.712 ± 0.004", without the spread for one run, or "–" if there is no value."""
    if not is_defined(stat):
        return MISSING
    mean = f"{stat['mean']:.{digits}f}"
    return f"{mean} ± {stat['std']:.{digits}f}" if stat["n"] > 1 else mean


def beside_published(
    table: Table, published: Sequence[Published], protocol: str
) -> list[list[str]]:
    """Returns the cells of a table of published results and ours, each row with its protocol.

    Args:
      table: Our results, all of one protocol.
      published: Results of others; their metrics are the columns.
      protocol: What was chosen on which split in ours.

    Returns:
      Rows of cells, the first one the header.
    """
    columns = list(dict.fromkeys(metric for row in published for metric in row.scores))
    rows = [["model", *columns, "protocol"]]
    for row in published:
        figures = [row.scores.get(metric, MISSING) for metric in columns]
        rows.append([row.model, *figures, row.protocol])
    for model, scores in table.items():
        figures = [format_stat(scores.get(metric), digits=4) for metric in columns]
        rows.append([model, *figures, protocol])
    return rows


def align(rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Returns rows of cells as aligned lines of text.

    Args:
      rows: Cells; the first row is the header.
      markdown: Whether to write a Markdown table.

    Returns:
      The lines, without a newline at the end.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in map(list, rows)
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
