"""`results.json`: the scores of an experiment, and what it takes to run it again.

{"models": {name: {metric: {"mean", "std", "n"}}},
 "command", "config", "seconds", "peak_rss_mb"}
"""

import dataclasses
import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from lddu.files import read_json, write_text
from lddu.runs.scores import Table

FILE = "results.json"


def write_results(
    folder: str | os.PathLike, table: Table, config: Any, seconds: float, command: str | None = None
) -> Path:
    """Writes `results.json` into a run folder, atomically.

    Args:
      folder: The run folder; created if it does not exist.
      table: Statistics of each model.
      config: The configuration: a dataclass or JSON values.
      seconds: Wall time of the experiment.
      command: The command that ran it; None for that of this process.

    Returns:
      The path of the file. Numbers that JSON does not have (NaN, infinities) become null. The peak
      memory of this process is recorded too.
    """
    content = {
        "models": table,
        "command": command_line() if command is None else command,
        "config": config,
        "seconds": seconds,
        "peak_rss_mb": peak_rss_mb(),
    }
    text = json.dumps(_to_json(content), indent=2, ensure_ascii=False, allow_nan=False)
    path = Path(folder) / FILE
    write_text(path, text + "\n")
    return path


def read_results(folder: str | os.PathLike) -> dict[str, Any]:
    """Reads the `results.json` of a run folder; means and spreads that are null become NaN.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged or was not written by lddu; names the field.
    """
    results = read_json(Path(folder) / FILE, _Results)
    for scores in results["models"].values():
        for stat in scores.values():
            for key in ("mean", "std"):
                stat[key] = math.nan if stat[key] is None else stat[key]
    return results


class _Stat(TypedDict):
    mean: float | None
    std: float | None
    n: int


class _Results(TypedDict):
    models: dict[str, dict[str, _Stat]]
    command: str
    config: Any
    seconds: float
    peak_rss_mb: float | None


def command_line() -> str:
    """Returns the command that started this process, as one would type it."""
    program, *words = sys.argv
    start = ["lddu"] if Path(program).stem == "lddu" else ["python", program]
    return shlex.join([*start, *words])


def peak_rss_mb() -> float | None:
    """Returns the peak resident memory of this process in MB (2**20 bytes); None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, kB on Linux


def _to_json(value: Any) -> Any:
    """Converts a value to JSON values: arrays to lists, non-finite numbers to None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars
        return _to_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
