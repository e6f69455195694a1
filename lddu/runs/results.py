"""`results.json`: the scores of a command, over seeds, with what it takes to run it again.

{"models": {name: {metric: {"mean", "std", "n"}}},
 "command", "config", "seconds", "peak_rss_mb"}
"""

import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Stat = Mapping[str, float]
Models = Mapping[str, Mapping[str, Stat]]

MISSING = "–"
_LOWER_WORDS = {"nll", "brier", "aurc", "loss", "error", "risk"}


def aggregate(runs: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and spread of each metric over runs, such as seeds.

    Args:
      runs: One mapping of metric -> value per run; NaN and absent values stay out.

    Returns:
      metric -> {"mean", "std", "n"}, in the order metrics first appear: the mean, the sample
      standard deviation (n - 1 in the denominator; 0 when n is 1) and the number of values that
      went in. With n = 0, mean and std are NaN.
    """
    summary = {}
    for metric in dict.fromkeys(name for run in runs for name in run):
        values = np.array([run[metric] for run in runs if metric in run], float)
        values = values[~np.isnan(values)]
        if not values.size:
            summary[metric] = {"mean": math.nan, "std": math.nan, "n": 0}
            continue
        std = float(values.std(ddof=1)) if values.size > 1 else 0.0
        summary[metric] = {"mean": float(values.mean()), "std": std, "n": int(values.size)}
    return summary


def write_results(
    path: str | os.PathLike, models: Models, command: str, config: Any, seconds: float
) -> Path:
    """Writes `results.json` in one step: a reader never sees half a file.

    Args:
      path: The file; its folder is made if need be.
      models: As `aggregate` returns them, by model name.
      command: What was typed.
      config: The configuration: a dataclass or JSON values.
      seconds: Wall time.

    Returns:
      The path. Peak memory of this process is added by itself. Numbers that JSON does not have
      (NaN, infinities) become null.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "models": models,
        "command": command,
        "config": config,
        "seconds": seconds,
        "peak_rss_mb": peak_rss_mb(),
    }
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    # In the same folder, as a rename is atomic only within one file system.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(temporary).chmod(0o644)  # mkstemp keeps it from everyone else
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_results(path: str | os.PathLike) -> dict[str, Any]:
    """Reads what `write_results` wrote; null means and spreads come back as NaN.

    Raises:
      ValueError: If a key of the schema is missing, naming it.
    """
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    for key in ("models", "command", "config", "seconds", "peak_rss_mb"):
        if key not in results:
            raise ValueError(f"{path} has no {key!r}; it is not a results.json of lddu")
    for scores in results["models"].values():
        for stat in scores.values():
            for key in ("mean", "std"):
                stat[key] = math.nan if stat[key] is None else stat[key]
    return results


def peak_rss_mb() -> float | None:
    """The most resident memory this process ever held, in MB (2**20 bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, kB on Linux


def format_stat(stat: Stat | None, digits: int = 3) -> str:
    """ "0.712 ± 0.004", without the spread for one run; "–" where there is no value."""
    if stat is None or stat["mean"] is None or math.isnan(stat["mean"]):
        return MISSING
    mean = f"{stat['mean']:.{digits}f}"
    return f"{mean} ± {stat['std']:.{digits}f}" if stat["n"] > 1 else mean


@dataclasses.dataclass(frozen=True)
class Published:
    """A result of others.

    Attributes:
      model: Who and what.
      scores: Metric, under our name -> the figure as published, for instance ".565-.568".
      protocol: What was chosen on which split.
    """

    model: str
    scores: Mapping[str, str]
    protocol: str


def comparison(models: Models, published: Sequence[Published], protocol: str) -> list[list[str]]:
    """Published results and ours in one table of text, each row with its protocol.

    Args:
      models: Ours, as in `results.json`; all of one protocol.
      published: Those of others; their metrics are the columns.
      protocol: What was chosen on which split in ours.

    Returns:
      Rows of cells, the first one the header.
    """
    columns = list(dict.fromkeys(metric for row in published for metric in row.scores))
    rows = [["model", *columns, "protocol"]]
    for row in published:
        scores = [row.scores.get(metric, MISSING) for metric in columns]
        rows.append([row.model, *scores, row.protocol])
    for name, scores in models.items():
        rows.append([name, *(format_stat(scores.get(m), 4) for m in columns), protocol])
    return rows


def lower_is_better(metric: str) -> bool:
    """Whether a metric measures an error: "nll", "macro_ece", "hamming_loss", "aurc", ..."""
    words = metric.lower().replace("-", "_").split("_")
    return any(word in _LOWER_WORDS or word.startswith("ece") for word in words)


def best_models(models: Models, metric: str, digits: int = 3) -> set[str]:
    """The models with the best mean of a metric, all of them if the shown digits tie.

    The model "bayes" is a bound that knows how the data were made, and takes no part.
    """
    means = {
        name: round(scores[metric]["mean"], digits)
        for name, scores in models.items()
        if name.lower() != "bayes" and format_stat(scores.get(metric)) != MISSING
    }
    if not means:
        return set()
    best = (min if lower_is_better(metric) else max)(means.values())
    return {name for name, mean in means.items() if mean == best}


def format_table(
    models: Models, columns: Sequence[str], markdown: bool = False, digits: int = 3
) -> str:
    """An aligned table, one model a row.

    Args:
      models: As in `results.json`.
      columns: The metrics to show, in order.
      markdown: Whether to write a Markdown table, with the best of each column in bold.
      digits: Decimals.

    Returns:
      The table, without a newline at its end.
    """
    rows = [["model", *columns]]
    best = {metric: best_models(models, metric, digits) for metric in columns}
    for name, scores in models.items():
        cells = [format_stat(scores.get(metric), digits) for metric in columns]
        if markdown:
            cells = [
                f"**{cell}**" if name in best[metric] else cell
                for metric, cell in zip(columns, cells, strict=True)
            ]
        rows.append([name.replace("|", r"\|") if markdown else name, *cells])
    return align(rows, markdown)


def align(rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Rows of cells as lines of text, the first row being the header; no newline at the end."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(pairs)
        ]
        for pairs in ([*zip(row, widths, strict=True)] for row in rows)
    ]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _plain(value: Any) -> Any:
    """JSON values of the same content: arrays to lists, numbers without a JSON form to None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
