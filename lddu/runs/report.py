"""One HTML file that shows a run: scores, training, calibration, abstention, modalities.

The file stands alone: styles and figures are inside it, nothing is fetched, no script runs.
"""

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lddu import metrics
from lddu.runs import page, results

_FIRST_KEPT = 20  # where risk-coverage curves start

_ACRONYMS = {word.lower(): word for word in ("NLL", "ECE", "AURC", "AUROC", "mAP", "F1", "Brier")}


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    models: results.Models,
    history: Sequence[Mapping[str, float]],
    probs: ArrayLike,
    labels: ArrayLike,
    thresholds: ArrayLike,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    weights: ArrayLike | None,
    config_json: str,
    command: str,
    notes: Sequence[str] = (),
    published: Sequence[results.Published] = (),
    protocol: str = "",
    data_card: str = "",
) -> Path:
    """Writes the report of a run as one HTML file.

    Args:
      path: The file; its folder is made if need be.
      title: The headline.
      models: model -> metric -> {"mean", "std", "n"}, as in `results.json`; may be empty.
      history: One mapping per epoch, as for `plots.training_curves`; may be empty.
      probs: (N, C) probabilities of the test set, after calibration.
      labels: (N, C) targets in [0, 1].
      thresholds: A label counts as predicted from this probability on: one for all, (C,), or
        (N, C) where rows come from different folds (the table then shows their mean).
      label_names: C names.
      modality_names: M names.
      weights: (N, C, M) `Prediction.weights`, or None to leave that figure out.
      config_json: The configuration as JSON text.
      command: What was typed.
      notes: Remarks of one sentence or two, listed under the summary.
      published: Results of others to stand beside ours, each with its protocol.
      protocol: How ours came about, for that table.
      data_card: Text that describes the data, shown at the end.

    Returns:
      The path. The same input gives the same bytes, but for the date.

    Raises:
      ImportError: If matplotlib is missing.
      ValueError: If shapes and names do not agree.
    """
    from lddu import plots  # matplotlib, needed here only

    probs, labels = np.asarray(probs, float), np.asarray(labels, float)
    label_names = [str(name) for name in label_names]
    if probs.shape != labels.shape or probs.shape[1:] != (len(label_names),):
        raise ValueError(
            f"probs {probs.shape} and labels {labels.shape} must be (N, C) both, with C="
            f"{len(label_names)} names"
        )
    thresholds = np.broadcast_to(np.asarray(thresholds, float), probs.shape)

    comparison = _comparison(models, published, protocol)
    sections = [_scores(models), comparison, _per_label(probs, labels, thresholds, label_names)]
    if history:
        figure = plots.training_curves(history, _monitor(config_json))
        sections.append(
            page.figure_section(
                "Training",
                figure,
                "Training losses and validation scores by epoch.",
                "The dot is the epoch that validation chose. An ensemble has one line per member.",
            )
        )
    figure = plots.reliability_diagram(probs, labels, label_names)
    sections.append(
        page.figure_section(
            "Reliability",
            figure,
            f"Reliability diagrams for {', '.join(label_names)}, with counts per bin.",
            "Test set, after calibration: how often a label was present against the probability "
            "it was given. On the dashed diagonal the two agree. Bars are 95 % Wilson intervals, "
            "counts are on a logarithmic axis, and hatched bins hold no prediction, so that "
            "nothing is known there.",
        )
    )
    curves = _curves(probs, labels, thresholds, label_names)
    sections.append(
        page.figure_section(
            "Risk and coverage",
            plots.risk_coverage(curves).figure,
            "Risk against coverage.",
            "Share of wrong label decisions among the predictions that are kept when the least "
            "certain are set aside first, by p (1 - p); drawn from "
            f"{_FIRST_KEPT} predictions on. The dotted line "
            "is the risk of keeping all.",
        )
    )
    if weights is not None:
        figure = plots.modality_weights(weights, label_names, modality_names).figure
        sections.append(
            page.figure_section(
                "Modality weights",
                figure,
                f"Mean fusion weight of {', '.join(map(str, modality_names))} per label.",
                "Mean share of the fused precision that each modality supplies, by label; the "
                "prior holds the rest. A missing modality weighs nothing. The line under a "
                "segment spans the middle half of the samples.",
            )
        )
    sections.append(_run(command, config_json))
    if data_card:
        text = f"<pre><code>{html.escape(data_card)}</code></pre>"
        sections.append(page.section("Data", text))

    summary = _summary(probs, label_names, modality_names, history, notes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(title, summary, sections), encoding="utf-8")
    return path


def _summary(
    probs: np.ndarray,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    history: Sequence[Mapping[str, float]],
    notes: Sequence[str],
) -> str:
    members = len({row.get("member", 0) for row in history})
    epochs = len({row["epoch"] for row in history})
    modalities = ", ".join(map(str, modality_names))
    text = (
        f"Multi-label classification of {', '.join(label_names)} from {modalities}, tested on "
        f"{len(probs):,} samples."
    )
    facts = [
        (len(probs), "test sample", "test samples"),
        (len(label_names), "label", "labels"),
        (len(modality_names), "modality", "modalities"),
    ]
    if history:
        several = f"{members} ensemble members" if members > 1 else "one model"
        text += f" Training ran for up to {epochs} epochs with {several}."
        facts += [(members, "member", "members"), (epochs, "epoch", "epochs")]
    text += " All figures show the test set after calibration, unless they say otherwise."
    tiles = "".join(
        f"<div><dt>{one if n == 1 else many}</dt><dd>{n:,}</dd></div>" for n, one, many in facts
    )
    remarks = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<p class="lead">{html.escape(text)}</p>\n<dl class="facts">{tiles}</dl>' + (
        f"\n<ul>{remarks}</ul>" if remarks else ""
    )


def _scores(models: results.Models) -> str:
    """The table of results.json, turned so that it is the taller rather than the wider."""
    columns = list(dict.fromkeys(metric for scores in models.values() for metric in scores))
    if not columns:
        return ""
    cells = {}
    for metric in columns:
        best = results.best_models(models, metric)
        for name, scores in models.items():
            cells[name, metric] = results.format_stat(scores.get(metric)), name in best
    names = {metric: _spoken(metric) for metric in columns}
    if len(columns) > len(models):
        rows = [(names[m], [cells[name, m] for name in models]) for m in columns]
        table = ["metric", list(models), rows]
    else:
        rows = [(name, [cells[name, m] for m in columns]) for name in models]
        table = ["model", list(names.values()), rows]
    caption = "Arrows say which way is better; the best model stands out."
    if any(name.lower() == "bayes" for name in models):
        caption += " Bayes, which knows how the data were made, is a bound and takes no part."
    if any(stat["n"] > 1 for scores in models.values() for stat in scores.values()):
        caption += " Mean ± sample standard deviation over runs."
    return page.section("Scores", page.table(*table, caption))


def _comparison(models: results.Models, published: Sequence, protocol: str) -> str:
    if not published:
        return ""
    head, *rows = results.comparison(models, published, protocol)
    caption = "Figures under different protocols are not comparable: read the last column first."
    cells = [(name, [(text, False) for text in texts]) for name, *texts in rows]
    return page.section("Beside published results", page.table(head[0], head[1:], cells, caption))


def _spoken(metric: str) -> str:
    """ "micro F1 ↑" for "micro_f1"."""
    words = [_ACRONYMS.get(word, word) for word in metric.split("_")]
    return " ".join([*words, "↓" if results.lower_is_better(metric) else "↑"])


def _per_label(
    probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, names: Sequence[str]
) -> str:
    predicted, truth = metrics.threshold(probs, thresholds), labels >= 0.5
    guessed, occurs = predicted.any(0), truth.any(0)
    columns = {
        "present": labels.mean(0),
        "mean probability": probs.mean(0),
        "threshold": thresholds.mean(0),
        "precision": np.where(guessed, metrics.precision(predicted, truth, "none"), np.nan),
        "recall": np.where(occurs, metrics.recall(predicted, truth, "none"), np.nan),
        "F1": np.where(guessed | occurs, metrics.f1(predicted, truth, "none"), np.nan),
        "ECE": metrics.ece(probs, labels, average="none"),
    }
    rows = []
    for c, name in enumerate(names):
        values = [column[c] for column in columns.values()]
        texts = [results.MISSING if np.isnan(v) else f"{v:.3f}" for v in values]
        rows.append((name, [(text, False) for text in texts]))
    caption = (
        "Precision, recall and F1 are at the threshold. A dash: undefined, as the label never "
        "occurs or is never predicted."
    )
    return page.section("Labels", page.table("label", list(columns), rows, caption))


def _curves(
    probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Risk and coverage of all label decisions together, and of each label."""
    wrong = (metrics.threshold(probs, thresholds) != (labels >= 0.5)).astype(float)
    uncertainty = probs * (1 - probs)
    curves = {"all labels": metrics.risk_coverage(wrong.ravel(), uncertainty.ravel())}
    if len(names) > 1:
        for c, name in enumerate(names):
            # A label may be called "all labels" too.
            key = name if name not in curves else f"{name} (label)"
            curves[key] = metrics.risk_coverage(wrong[:, c], uncertainty[:, c])
    return {name: _thin(*curve) for name, curve in curves.items()}


def _thin(coverage: np.ndarray, risk: np.ndarray, points: int = 200) -> tuple[np.ndarray, ...]:
    """Every n-th point, the last included: more are not seen, and weigh in the file.

    The first predictions are passed over, since the mean error of so few is mostly chance.
    """
    first = min(_FIRST_KEPT, len(risk)) - 1
    keep = np.unique(np.linspace(first, len(risk) - 1, points).round().astype(int))
    return coverage[keep], risk[keep]


def _run(command: str, config_json: str) -> str:
    return page.section(
        "How to run it again",
        f"<pre><code>{html.escape(command)}</code></pre>\n"
        "<details><summary>Configuration</summary>\n"
        f"<pre><code>{html.escape(config_json)}</code></pre>\n</details>",
    )


def _monitor(config_json: str) -> str:
    """The score that chose the epoch, by the configuration; NLL where it does not say."""
    try:
        monitor = json.loads(config_json)["train"]["monitor"]
    except (ValueError, KeyError, TypeError):
        return "nll"
    return monitor if monitor in ("nll", "micro_f1") else "nll"
