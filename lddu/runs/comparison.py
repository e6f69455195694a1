"""Finished runs side by side on the same test samples, with paired bootstrap intervals."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from einops import rearrange

from lddu import metrics
from lddu.metrics import Difference, boundary, paired_bootstrap
from lddu.names import positions
from lddu.runs.predictions import ModelPredictions, RunPredictions
from lddu.runs.scores import find_metric
from lddu.runs.tables import align, format_table

COLUMNS = ("micro_f1", "macro_f1", "jaccard_empty_zero", "auroc", "map", "nll", "brier", "ece")
WITHOUT_DIFFERENCE = tuple(metric for metric in COLUMNS if metric in boundary.NAMES)
"""Columns whose difference has no valid interval: noise in both, by different amounts."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One model of one run, compared with the first.

    Attributes:
      name: Run folder and model.
      protocol: "validation", or "official" if something was chosen on the test split.
      scores: Metric -> mean over the model's seeds.
      against_first: Metric -> this model's score minus that of the first; empty for the first, and
        without calibration errors, whose difference has no valid interval.
      threshold: Mean decision threshold, at which all metrics of decisions are taken.
    """

    name: str
    protocol: str
    scores: dict[str, float]
    against_first: dict[str, Difference]
    threshold: float


def compare(
    runs: Sequence[str | Path], resamples: int = 1000, level: float = 0.95, progress: bool = True
) -> list[Contestant]:
    """Compares models of finished runs, each with the first.

    A model of several seeds is scored by the mean over them. The intervals tell how far chance in
    the test samples goes; chance in training is the spread over seeds in the results of a run.

    Args:
      runs: Run folders, or "folder:model" for another model than the run's main one, such as
        "runs/mosei:forest".
      resamples: Number of bootstrap resamples of the test samples.
      level: Confidence level of the intervals.
      progress: Whether to show a progress bar.

    Returns:
      One `Contestant` per run, in the given order.

    Raises:
      FileNotFoundError: If a folder holds no predictions.
      ValueError: If there are fewer than two runs, a model is unknown, or the runs were not tested
        on the same samples with the same labels.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> rng = np.random.default_rng(0)
      >>> model = ModelPredictions(rng.random((1, 9, 2)), np.full((1, 2), 0.5))
      >>> labels = rng.integers(0, 2, (9, 2))
      >>> run = RunPredictions(np.arange(9), labels, ("a", "b"), "validation", "m", {"m": model})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = run.save(folder)
      ...     _, second = compare([folder, folder], resamples=5, progress=False)
      >>> second.against_first["nll"].estimate
      0.0
    """
    if len(runs) < 2:
        raise ValueError(f"runs holds {len(runs)} run; a comparison needs at least two")
    entries = [_find(str(run)) for run in runs]
    entries = [_in_order(entry, entries[0]) for entry in entries]
    labels = np.asarray(entries[0].predictions.labels, float)
    views = [_view(entry, _rows(entry, entries[0])) for entry in entries]
    contestants = []
    for number, (entry, view) in enumerate(zip(entries, views, strict=True)):
        difference = {}
        if number:
            if progress:
                print(f"{entry.name} against {entries[0].name}", flush=True)
            difference = paired_bootstrap(
                _comparable_scores,
                views[0],
                view,
                labels,
                resamples=resamples,
                level=level,
                progress=progress,
            )
        scores = _mean_scores(*view, labels)
        protocol = entry.predictions.protocol
        contestants.append(Contestant(entry.name, protocol, scores, difference, view[1].mean()))
    return contestants


def format_comparison(
    contestants: Sequence[Contestant], level: float = 0.95, markdown: bool = False
) -> str:
    """Returns a table of the scores, one of the differences per run, notes and warnings.

    Args:
      contestants: From `compare`.
      level: Confidence level of the intervals, as given to `compare`.
      markdown: Whether to write Markdown tables.
    """
    table = {
        c.name: {m: {"mean": score, "std": 0.0, "n": 1} for m, score in c.scores.items()}
        for c in contestants
    }
    parts = [format_table(table, COLUMNS, markdown=markdown, digits=4), _thresholds(contestants)]
    for contestant in contestants[1:]:
        rows = [["metric", "difference", f"{level:.0%} interval", "p", "verdict"]]
        for metric, d in contestant.against_first.items():
            rows.append(
                [
                    metric,
                    f"{d.estimate:+.4f}",
                    f"[{d.low:+.4f}, {d.high:+.4f}]",
                    f"{d.p_value:.3f}",
                    _verdict(metric, d),
                ]
            )
        title = f"{contestant.name} minus {contestants[0].name}"
        parts.append(f"{title}\n\n{align(rows, markdown)}")
    parts.append(
        f"No interval of a difference in {', '.join(WITHOUT_DIFFERENCE)}: noise raises both, by "
        "different amounts. lddu.metrics.ece_interval gives the calibration error of one model."
    )
    for contestant in contestants:
        if contestant.protocol != "validation":
            parts.append(
                f"WARNING: {contestant.name} was SELECTED ON TEST; its figures are optimistic and "
                "not comparable with those of runs that were not."
            )
    return "\n\n".join(parts)


def _thresholds(contestants: Sequence[Contestant]) -> str:
    decided = ", ".join(metric for metric in COLUMNS if metric in metrics.DECISION_METRICS)
    cuts = ", ".join(f"{c.threshold:.3f} ({c.name})" for c in contestants)
    return f"{decided}: of decisions at each run's own thresholds, on average {cuts}."


def _verdict(metric: str, difference: Difference) -> str:
    if np.isnan(difference.estimate):
        return "undefined"
    if not (difference.low > 0 or difference.high < 0):
        return "inside chance"
    better = (difference.estimate < 0) == find_metric(metric).lower_is_better
    return "better" if better else "worse"


class _Entry(NamedTuple):
    """A run in a comparison, and the model of it that takes part."""

    name: str
    predictions: RunPredictions
    model: ModelPredictions


def _find(run: str) -> _Entry:
    """Loads the run "folder" or "folder:model"."""
    folder, model = run, None
    if not Path(run).is_dir() and ":" in run:
        folder, model = run.rsplit(":", 1)
    predictions = RunPredictions.load(folder)
    model = predictions.main if model is None else model
    if model not in predictions.models:
        raise ValueError(f"{folder} has no model {model!r}; it has {list(predictions.models)}")
    return _Entry(f"{folder}:{model}", predictions, predictions.models[model])


def _in_order(entry: _Entry, first: _Entry) -> _Entry:
    """Returns a run with its labels in the order of the first one's."""
    ours, theirs = entry.predictions.label_names, first.predictions.label_names
    where = positions("label", theirs, ours, first.name, entry.name)
    if where is None:
        return entry
    predictions = entry.predictions
    labels, probs = predictions.labels[:, where], entry.model.probs[..., where]
    model = ModelPredictions(probs, entry.model.thresholds[..., where])
    models = {predictions.main: model}
    predictions = dataclasses.replace(predictions, labels=labels, label_names=theirs, models=models)
    return _Entry(entry.name, predictions, model)


def _rows(entry: _Entry, first: _Entry) -> np.ndarray:
    """Returns the rows of a run in the order of the first one's samples."""
    ours, theirs = entry.predictions, first.predictions
    position = {key: row for row, key in enumerate(ours.ids.tolist())}
    shared = [key for key in theirs.ids.tolist() if key in position]
    if not len(shared) == len(position) == len(theirs.ids):
        raise ValueError(
            f"{entry.name} and {first.name} were not tested on the same samples: {len(position)} "
            f"and {len(theirs.ids)}, of which {len(shared)} in both"
        )
    rows = np.array([position[key] for key in theirs.ids.tolist()])
    if not np.array_equal(ours.labels[rows], theirs.labels, equal_nan=True):
        raise ValueError(
            f"{entry.name} and {first.name} disagree on the labels of the same samples"
        )
    return rows


def _view(entry: _Entry, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities and thresholds with samples first, as the bootstrap takes them."""
    return tuple(
        rearrange(x, "seed sample label -> sample seed label")[rows]
        for x in (entry.model.probs, entry.model.cuts())
    )


def _mean_scores(probs: np.ndarray, cuts: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    runs = [metrics.summarise(probs[:, s], labels, cuts[:, s]) for s in range(probs.shape[1])]
    return {m: float(np.mean([run[m] for run in runs])) for m in COLUMNS}


def _comparable_scores(probs: np.ndarray, cuts: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    scores = _mean_scores(probs, cuts, labels)
    return {m: score for m, score in scores.items() if m not in WITHOUT_DIFFERENCE}
