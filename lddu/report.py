"""One HTML file that shows a run: scores, training, calibration, abstention, modalities.

The file stands alone: styles and figures are inside it, nothing is fetched, no script runs.
"""

import base64
import datetime
import html
import importlib.metadata
import io
import json
import os
import platform
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lddu import metrics, results

_FIRST_KEPT = 20  # where risk-coverage curves start
_SVG_LIMIT = 300_000  # bytes; beyond, a PNG is the smaller

_ACRONYMS = {word.lower(): word for word in ("NLL", "ECE", "AURC", "AUROC", "mAP", "F1", "Brier")}

_CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d9dee3;
  --page: #ffffff; --panel: #f6f8fa; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9da7b1; --line: #3a424b;
  --page: #15181c; --panel: #1e2329; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--page);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial,
  sans-serif; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 3rem 0 0.5rem; font-size: 1.3rem; }
.lead { max-width: 48rem; margin: 1rem 0; }
figcaption, caption, footer { color: var(--soft); font-size: 0.9rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1.5rem 0; padding: 0; }
.facts div { display: flex; flex-direction: column-reverse; min-width: 7.5rem;
  padding: 0.6rem 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--panel); }
.facts dt { color: var(--soft); font-size: 0.85rem; }
.facts dd { margin: 0; font-size: 1.4rem; font-weight: 600; line-height: 1.3; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; padding-top: 0.5rem; text-align: left; }
th, td { padding: 0.35rem 0.9rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child { padding-left: 0.2rem; text-align: left; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600;
  vertical-align: bottom; }
tbody th { font-weight: 500; }
.best { color: var(--accent); font-weight: 700; }
figure { margin: 0.75rem 0 0; }
figure img { display: block; max-width: 100%; height: auto; padding: 0.6rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: 8px; }
figcaption { max-width: 48rem; margin-top: 0.5rem; }
pre { overflow-x: auto; padding: 0.8rem 1rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--panel); font: 0.85rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas,
  monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; }
footer { margin-top: 3rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } h2 { break-after: avoid; }
  figure, table, .facts { break-inside: avoid; } .scroll { overflow: visible; }
  table, caption, figcaption { font-size: 8pt; } th, td { padding: 0.2rem 0.4rem; }
  thead th { white-space: normal; } }
"""

_PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$css</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
</header>
<main>
$sections
</main>
<footer>Made by lddu on <time datetime="$date">$date</time> with $versions.</footer>
</body>
</html>
""")


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

    sections = [_scores(models), _per_label(probs, labels, thresholds, label_names)]
    if history:
        figure = plots.training_curves(history, _monitor(config_json))
        sections.append(
            _figure(
                "Training",
                figure,
                "Training losses and validation scores by epoch.",
                "The dot is the epoch that validation chose. An ensemble has one line per member.",
            )
        )
    figure = plots.reliability_diagram(probs, labels, label_names)
    sections.append(
        _figure(
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
        _figure(
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
            _figure(
                "Modality weights",
                figure,
                f"Mean fusion weight of {', '.join(map(str, modality_names))} per label.",
                "Mean share of the fused precision that each modality supplies, by label; the "
                "prior holds the rest. A missing modality weighs nothing. The line under a "
                "segment spans the middle half of the samples.",
            )
        )
    sections.append(_run(command, config_json))

    page = _PAGE.substitute(
        title=html.escape(title),
        css=_CSS,
        summary=_summary(probs, label_names, modality_names, history, notes),
        sections="\n".join(filter(None, sections)),
        date=datetime.date.today().isoformat(),
        versions=html.escape(_versions()),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
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
    return _section("Scores", _table(*table, caption))


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
    return _section("Labels", _table("label", list(columns), rows, caption))


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
    return _section(
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


def _section(heading: str, body: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>"


def _table(
    corner: str,
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, bool]]]],
    caption: str,
) -> str:
    """A table; a cell is its text and whether it stands out."""
    columns = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in head)
    body = []
    for name, cells in rows:
        tds = "".join(
            f'<td class="best">{html.escape(text)}</td>'
            if best
            else f"<td>{html.escape(text)}</td>"
            for text, best in cells
        )
        body.append(f'<tr><th scope="row">{html.escape(name)}</th>{tds}</tr>')
    return (
        f'<div class="scroll"><table>\n<caption>{html.escape(caption)}</caption>\n'
        f'<thead><tr><th scope="col">{corner}</th>{columns}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(body)}\n</tbody>\n</table></div>"
    )


def _figure(heading: str, figure, alt: str, caption: str) -> str:
    """A section with a figure in an <img>, where the ids inside one SVG cannot meet another's."""
    import matplotlib

    buffer = io.BytesIO()
    # A fixed salt and no date: the same figure gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "lddu", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, facecolor="white")
    kind, data = "svg+xml", buffer.getvalue()
    if len(data) > _SVG_LIMIT:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=180, facecolor="white")
        kind, data = "png", buffer.getvalue()
    width = round(figure.get_size_inches()[0] * 96)
    return _section(
        heading,
        f'<figure><img width="{width}" alt="{html.escape(alt)}" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">\n'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>",
    )


def _versions() -> str:
    """Versions of what computed the numbers."""
    found = [f"Python {platform.python_version()}"]
    for package in ("lddu", "jax", "flax", "numpy"):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} (not installed as a package)")
    return ", ".join(found)
