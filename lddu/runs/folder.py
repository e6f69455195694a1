"""A finished run on disk: its predictions, their detail, its results and its report."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TypedDict

import numpy as np

from lddu import files
from lddu.config import Config
from lddu.files import atomic_path, damage_named, read_json, read_npy
from lddu.runs.detail import FILE as DETAIL
from lddu.runs.detail import Detail
from lddu.runs.pages import write_pages
from lddu.runs.predictions import RunPredictions
from lddu.runs.results import FILE as RESULTS
from lddu.runs.results import read_results, write_results
from lddu.runs.run import Run
from lddu.runs.scores import Metric
from lddu.runs.tables import Published

FILE, WEIGHTS = "run.json", "weights.npy"


def write_run(folder: str | os.PathLike, run: Run) -> Path:
    """Writes everything about a run into its folder.

    The files are `predictions.npz`, `results.json`, `run.json`, `weights.npy` and `detail.npz`
    where the run has them, and the pages of `lddu.runs.pages.write_pages`.

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
    for name in (WEIGHTS, DETAIL):  # perhaps of another run
        (folder / name).unlink(missing_ok=True)
    if run.weights is not None:
        with atomic_path(folder / WEIGHTS) as partial, partial.open("wb") as file:
            np.save(file, np.asarray(run.weights, np.float32))
    if run.detail is not None:
        run.detail.save(folder)
    return write_pages(folder / "report.html", run)[0]


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
    rows, labels = predictions.labels.shape
    modalities = len(config.model.modality_names)
    return Run(
        config=config,
        predictions=predictions,
        table=results["models"],
        seconds=results["seconds"],
        command=results["command"],
        weights=_read_weights(folder / WEIGHTS, (rows, labels, modalities)),
        detail=Detail.load(folder, rows, labels, modalities),
        **kept,
    )


def _read_weights(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    if not path.exists():
        return None
    weights = read_npy(path)
    with damage_named(path):
        if weights.shape != shape or weights.dtype.kind != "f":
            raise ValueError(f"it holds {weights.dtype} {weights.shape}, expected floats {shape}")
    return weights


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
