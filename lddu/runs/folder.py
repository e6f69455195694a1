"""A finished run on disk: its predictions, its results and its report."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TypedDict

import numpy as np

from lddu import files
from lddu.config import Config
from lddu.files import atomic_path, damage_named, read_json, read_npy
from lddu.runs.predictions import RunPredictions
from lddu.runs.report import write_report
from lddu.runs.results import FILE as RESULTS
from lddu.runs.results import read_results, write_results
from lddu.runs.run import Run
from lddu.runs.scores import Metric
from lddu.runs.tables import Published

FILE, WEIGHTS = "run.json", "weights.npy"


def write_run(folder: str | os.PathLike, run: Run) -> Path:
    """Writes everything about a run into its folder.

    The files are `predictions.npz`, `results.json`, `run.json`, `weights.npy` where the run has
    modality weights, and `report.html`.

    Args:
      folder: The run folder; created if it does not exist.
      run: The run to write.

    Returns:
      The path of the report.

    Raises:
      ImportError: If matplotlib, which draws the report, is missing. The other files are written by
        then.
      ValueError: If the run's table has an unknown metric. The other files are written by then.
    """
    folder = Path(folder)
    run.predictions.save(folder)
    write_results(folder, run.table, run.config, run.seconds, run.command)
    kept = {name: getattr(run, name) for name in _Kept.__annotations__}
    kept["metrics"] = [metric._asdict() for metric in run.metrics]
    kept["published"] = [dataclasses.asdict(row) for row in run.published]
    text = json.dumps(kept, indent=2, default=float)
    files.write_text(folder / FILE, text + "\n")
    if run.weights is not None:
        with atomic_path(folder / WEIGHTS) as partial, partial.open("wb") as file:
            np.save(file, np.asarray(run.weights, np.float32))
    return write_report(folder / "report.html", run)


def read_run(folder: str | os.PathLike) -> Run:
    """Reads what `write_run` wrote.

    Args:
      folder: The run folder.

    Returns:
      The run.

    Raises:
      FileNotFoundError: If the folder holds no finished run.
      ValueError: If a file is damaged, naming it.
    """
    folder = Path(folder)
    predictions, results = RunPredictions.load(folder), read_results(folder)
    kept = read_json(folder / FILE, _Kept, infinite=True)
    with damage_named(folder / RESULTS):
        config = Config.from_json(json.dumps(results["config"]))
    weights = folder / WEIGHTS
    return Run(
        config=config,
        predictions=predictions,
        table=results["models"],
        seconds=results["seconds"],
        command=results["command"],
        weights=read_npy(weights) if weights.exists() else None,
        **kept,
    )


class _Kept(TypedDict):
    """What `run.json` keeps; the rest of a run is in the other files."""

    title: str
    history: tuple[dict[str, bool | int | float], ...]
    bound: str | None
    metrics: tuple[Metric, ...]
    protocol: str
    notes: tuple[str, ...]
    published: tuple[Published, ...]
    data_card: str
