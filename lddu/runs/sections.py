"""The sections of a report. Each function returns HTML, or "" where there is nothing to show."""

import html
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np

from lddu import metrics
from lddu.runs import page
from lddu.runs.scores import Metric, Table, best_models, find_metric
from lddu.runs.tables import MISSING, Published, beside_published, format_stat

_FIRST_KEPT = 20  # where risk-coverage curves start
_CURVE_POINTS = 200


def scores(table: Table, declared: Sequence[Metric] = (), bound: str | None = None) -> str:
    """Returns the table of scores, turned to be tall rather than wide.

    Args:
      table: Statistics of each model.
      declared: Metrics that are not in `lddu.runs.scores.METRICS`.
      bound: A model that never stands out as the best.

    Raises:
      ValueError: If the table has a metric that is neither known nor declared.
    """
    known = {metric.name: metric for metric in declared}
    names = dict.fromkeys(name for row in table.values() for name in row)
    columns = [known.get(name) or find_metric(name) for name in names]
    if not columns:
        return ""
    cells, spoken = {}, {}
    for metric in columns:
        spoken[metric] = f"{metric.spoken} {'↓' if metric.lower_is_better else '↑'}"
        best = best_models(table, metric, bound=bound)
        for model, row in table.items():
            cells[model, metric] = format_stat(row.get(metric.name)), model in best
    if len(columns) > len(table):
        rows = [(spoken[m], [cells[model, m] for model in table]) for m in columns]
        corner, head = "metric", list(table)
    else:
        rows = [(model, [cells[model, m] for m in columns]) for model in table]
        corner, head = "model", list(spoken.values())
    caption = "Arrows say which way is better; the best model stands out."
    if bound in table:
        caption += f" {bound} is a bound on what any model can reach, and takes no part."
    if any(stat["n"] > 1 for row in table.values() for stat in row.values()):
        caption += " Mean ± sample standard deviation over runs."
    return page.section("Scores", page.table(corner, head, rows, caption))


def published(table: Table, others: Sequence[Published], protocol: str) -> str:
    """Returns a table of published results beside ours, each row with its protocol."""
    if not others:
        return ""
    head, *rows = beside_published(table, others, protocol)
    caption = "Figures under different protocols are not comparable: read the last column first."
    cells = [(name, [(text, False) for text in texts]) for name, *texts in rows]
    return page.section("Beside published results", page.table(head[0], head[1:], cells, caption))


def per_label(
    probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, names: Sequence[str]
) -> str:
    """Returns a table of frequency, threshold and scores per label.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], NaN where unknown.
      thresholds: (N, C) decision thresholds; the table shows their mean.
      names: C names.
    """
    predicted, truth = metrics.threshold(probs, thresholds), _hard(labels)
    known = ~np.isnan(labels)
    guessed, occurs = (predicted & known).any(0), (truth == 1).any(0)
    columns = {
        "present": _mean_of_known(labels, known),
        "mean probability": _mean_of_known(probs, known),
        "threshold": thresholds.mean(0),
        "precision": np.where(guessed, metrics.precision(predicted, truth, "none"), np.nan),
        "recall": np.where(occurs, metrics.recall(predicted, truth, "none"), np.nan),
        "F1": np.where(guessed | occurs, metrics.f1(predicted, truth, "none"), np.nan),
        "ECE": metrics.ece(probs, labels, average="none"),
    }
    rows = []
    for name, *values in zip(names, *columns.values(), strict=True):
        texts = [MISSING if np.isnan(value) else f"{value:.3f}" for value in values]
        rows.append((name, [(text, False) for text in texts]))
    caption = (
        "Precision, recall and F1 are at the threshold. A dash: undefined, because the label never "
        "occurs or is never predicted."
    )
    if not known.all():
        caption += f" Of the labels, {1 - known.mean():.1%} are unknown and have no part."
    return page.section("Labels", page.table("label", list(columns), rows, caption))


def training(history: Sequence[Mapping[str, float]], monitor: str) -> str:
    """Returns the training curves; `monitor` is the validation score that chose the epoch."""
    if not history:
        return ""
    from lddu import plots  # matplotlib is needed for reports only

    return page.figure_section(
        "Training",
        plots.training_curves(history, monitor),
        "Training losses and validation scores by epoch.",
        "The dot is the epoch that validation chose. An ensemble has one line per member.",
    )


def reliability(probs: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> str:
    """Returns the reliability diagrams of probabilities (N, C) for labels (N, C)."""
    from lddu import plots

    return page.figure_section(
        "Reliability",
        plots.reliability_diagram(probs, labels, names),
        f"Reliability diagrams for {', '.join(names)}, with counts per bin.",
        "How often a label was present against the probability it was given. On the dashed "
        "diagonal the two agree. Bars are 95 % Wilson intervals, counts are on a logarithmic axis, "
        "and hatched bins hold no prediction, so that nothing is known there.",
    )


def risk_and_coverage(
    probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, names: Sequence[str]
) -> str:
    """Returns the risk-coverage curves of decisions at thresholds (N, C)."""
    from lddu import plots

    return page.figure_section(
        "Risk and coverage",
        plots.risk_coverage(_curves(probs, labels, thresholds, names)).figure,
        "Risk against coverage.",
        "Share of wrong label decisions among the predictions that are kept when the least certain "
        f"are set aside first, by p (1 - p); drawn from {_FIRST_KEPT} predictions on. The dotted "
        "line is the risk of keeping all.",
    )


def modality_weights(
    weights: np.ndarray | None, label_names: Sequence[str], modality_names: Sequence[str]
) -> str:
    """Returns the mean fusion weights, from (N, C, M) weights or None."""
    if weights is None:
        return ""
    from lddu import plots

    return page.figure_section(
        "Modality weights",
        plots.modality_weights(weights, label_names, modality_names).figure,
        f"Mean fusion weight of {', '.join(modality_names)} per label.",
        "Mean share of the fused precision that each modality supplies, by label; the prior holds "
        "the rest. A missing modality weighs nothing. The line under a segment spans the middle "
        "half of the samples.",
    )


def explorer(file: str | None) -> str:
    """Returns where to look at single samples: in a file beside the report, or by a command."""
    what = "sort and filter samples, set a coverage, look at one sample and its neighbours"
    if file is None:
        where = "<code>lddu report RUN --explore</code>, with the folder of this run as RUN, writes"
        text = f"{where} a page beside this one in which to {what}. That page needs scripts."
    else:
        link = f'<a href="{html.escape(quote(file))}">{html.escape(file)}</a>'
        text = f"In {link} beside this page one can {what}. That page needs scripts."
    return page.section("Single samples", f'<p class="lead">{text}</p>')


def how_to_repeat(command: str, config_json: str) -> str:
    """Returns the command and the configuration of the run."""
    return page.section(
        "How to run it again",
        f"<pre><code>{html.escape(command)}</code></pre>\n"
        "<details><summary>Configuration</summary>\n"
        f"<pre><code>{html.escape(config_json)}</code></pre>\n</details>",
    )


def data(card: str) -> str:
    """Returns the description of the data."""
    return page.section("Data", f"<pre><code>{html.escape(card)}</code></pre>") if card else ""


def _curves(
    probs: np.ndarray, labels: np.ndarray, thresholds: np.ndarray, names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns coverage and risk of all label decisions together, and of each label."""
    wrong = metrics.wrong(metrics.threshold(probs, thresholds), _hard(labels))
    uncertainty = probs * (1 - probs)
    curves = {"all labels": metrics.risk_coverage(wrong.ravel(), uncertainty.ravel())}
    if len(names) > 1:
        for c, name in enumerate(names):
            if np.isnan(labels[:, c]).all():
                continue
            # A label may be called "all labels" too.
            key = name if name not in curves else f"{name} (label)"
            curves[key] = metrics.risk_coverage(wrong[:, c], uncertainty[:, c])
    return {name: _thin(*curve) for name, curve in curves.items()}


def _hard(labels: np.ndarray) -> np.ndarray:
    """Returns labels as 0 and 1, present from one half on; NaN stays."""
    return np.where(np.isnan(labels), np.nan, labels >= 0.5)


def _mean_of_known(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns the mean (C,) over the known entries of each label, NaN without any."""
    count = known.sum(0)
    return np.sum(values, axis=0, where=known) / np.where(count > 0, count, np.nan)


def _thin(coverage: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps as many points as can be seen, the last included, so that the file stays small.

    The first predictions are left out, since the mean error of so few is mostly chance.
    """
    first = min(_FIRST_KEPT, len(risk)) - 1
    keep = np.unique(np.linspace(first, len(risk) - 1, _CURVE_POINTS).round().astype(int))
    return coverage[keep], risk[keep]
