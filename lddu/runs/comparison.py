"""Runs side by side on the same test samples, with paired bootstrap intervals."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lddu import metrics
from lddu.runs import results
from lddu.metrics.bootstrap import Difference, paired_bootstrap
from lddu.runs.predictions import Predictions, Scored

COLUMNS = ("micro_f1", "macro_f1", "jaccard_empty_zero", "auroc", "map", "nll", "brier", "ece")
MAIN_MODELS = ("lddu_ensemble_calibrated", "lddu_ensemble [epoch chosen on TEST]")


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One model of one run.

    Attributes:
      name: Run and model.
      protocol: "validation", or "official" if something was chosen on the test split.
      scores: Metric -> mean over the model's seeds.
      against_first: Metric -> this model minus the first one; empty for the first.
    """

    name: str
    protocol: str
    scores: dict[str, float]
    against_first: dict[str, Difference]


def compare(
    runs: Sequence[str | Path], resamples: int = 1000, level: float = 0.95, progress: bool = True
) -> list[Contestant]:
    """Compares models of finished runs, each with the first.

    Args:
      runs: Run folders, or "folder:model" for another model than the calibrated ensemble, such as
        "runs/mosei:forest". A model of several seeds is scored by the mean over them.
      resamples: Bootstrap resamples of the test samples.
      level: Of the intervals. They tell how far chance in the test samples goes; chance in training
        is the spread over seeds in the results of a run.
      progress: Whether to show a bar.

    Returns:
      One `Contestant` per run, in their order.

    Raises:
      FileNotFoundError: If a folder holds no predictions.
      ValueError: If there are fewer than two runs, a model is unknown, or the runs were not tested
        on the same samples with the same labels.
    """
    if len(runs) < 2:
        raise ValueError(f"{len(runs)} run given; a comparison needs at least two")
    chosen = [_find(str(run)) for run in runs]
    names = [name for name, _, _ in chosen]
    first = chosen[0][1]
    aligned = [_aligned(name, predictions, names[0], first) for name, predictions, _ in chosen]
    views = [
        _view(predictions.models[model], rows)
        for (_, predictions, model), rows in zip(chosen, aligned, strict=True)
    ]
    labels = np.asarray(first.labels, bool)
    contestants = []
    for number, (name, predictions, _) in enumerate(chosen):
        difference = {}
        if number:
            if progress:
                print(f"{name} against {names[0]}", flush=True)
            difference = paired_bootstrap(
                _mean_scores,
                views[0],
                views[number],
                labels,
                resamples=resamples,
                level=level,
                progress=progress,
            )
        scores = _mean_scores(*views[number], labels)
        contestants.append(Contestant(name, predictions.protocol, scores, difference))
    return contestants


def format_comparison(
    contestants: Sequence[Contestant], level: float = 0.95, markdown: bool = False
) -> str:
    """A table of the scores, one of the differences per run, and warnings about protocols."""
    table = {
        c.name: {m: {"mean": score, "std": 0.0, "n": 1} for m, score in c.scores.items()}
        for c in contestants
    }
    parts = [results.format_table(table, COLUMNS, markdown, digits=4)]
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
        parts.append(f"{title}\n\n{results.align(rows, markdown)}")
    for contestant in contestants:
        if contestant.protocol != "validation":
            parts.append(
                f"WARNING: {contestant.name} was SELECTED ON TEST; its figures are optimistic and "
                "not comparable with those of runs that were not."
            )
    return "\n\n".join(parts)


def _verdict(metric: str, difference: Difference) -> str:
    if not (difference.low > 0 or difference.high < 0):
        return "inside chance"
    better = (difference.estimate < 0) == results.lower_is_better(metric)
    return "better" if better else "worse"


def _find(run: str) -> tuple[str, Predictions, str]:
    """Name, predictions and chosen model of "folder" or "folder:model"."""
    folder, model = run, None
    if not Path(run).is_dir() and ":" in run:
        folder, model = run.rsplit(":", 1)
    predictions = Predictions.load(folder)
    if model is None:
        model = next((m for m in MAIN_MODELS if m in predictions.models), None)
        model = model or next(iter(predictions.models))
    if model not in predictions.models:
        raise ValueError(f"{folder} has no model {model!r}; it has {list(predictions.models)}")
    return f"{folder}:{model}", predictions, model


def _aligned(name: str, predictions: Predictions, first_name: str, first: Predictions):
    """The rows of a run in the order of the first one's."""
    if predictions.label_names != first.label_names:
        raise ValueError(
            f"{name} has labels {predictions.label_names}, but {first_name} {first.label_names}"
        )
    position = {key: row for row, key in enumerate(predictions.ids.tolist())}
    missing = [key for key in first.ids.tolist() if key not in position]
    if missing or len(position) != len(first.ids):
        raise ValueError(
            f"{name} and {first_name} were not tested on the same samples: {len(position)} and "
            f"{len(first.ids)}, of which {len(first.ids) - len(missing)} in both"
        )
    rows = np.array([position[key] for key in first.ids.tolist()])
    if (predictions.labels[rows] != first.labels).any():
        raise ValueError(f"{name} and {first_name} disagree on the labels of the same samples")
    return rows


def _view(model: Scored, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and thresholds with samples first, as the bootstrap wants them: (N, S, C)."""
    probs = np.swapaxes(model.probs, 0, 1)[rows]
    return probs, np.broadcast_to(model.thresholds, probs.shape)


def _mean_scores(probs: np.ndarray, cuts: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    runs = [metrics.summarise(probs[:, s], labels, cuts[:, s]) for s in range(probs.shape[1])]
    return {m: float(np.mean([run[m] for run in runs])) for m in COLUMNS}
