"""One HTML file that shows a run: scores, training, calibration, abstention, modalities.

The file stands alone: styles and figures are inside it, nothing is fetched, no script runs.
"""

import html
import os
from pathlib import Path

import numpy as np

from lddu import files
from lddu.runs import page, sections
from lddu.runs.run import Run


def write_report(path: str | os.PathLike, run: Run, explorer: Path | None = None) -> Path:
    """Writes the report of a run as one HTML file.

    Args:
      path: The file; its folder is created if it does not exist.
      run: The run. Figures show the first of its main model's predictions.
      explorer: The explorer of the run, in the same folder, to link to; None if there is none.

    Returns:
      The path. The same run gives the same bytes, except for the date.

    Raises:
      ImportError: If matplotlib is missing.
      ValueError: If the run's table has an unknown metric.
    """
    main = run.predictions.models[run.predictions.main]
    probs, thresholds = main.probs[0], main.cuts()[0]
    labels = np.asarray(run.predictions.labels, float)
    label_names = run.predictions.label_names
    modality_names = run.config.model.modality_names
    parts = [
        sections.scores(run.table, run.metrics, run.bound),
        sections.published(run.table, run.published, run.protocol),
        sections.per_label(probs, labels, thresholds, label_names),
        sections.training(run.history, run.config.train.monitor),
        sections.reliability(probs, labels, label_names),
        sections.risk_and_coverage(probs, labels, thresholds, label_names),
        sections.modality_weights(run.weights, label_names, modality_names),
        sections.explorer(None if explorer is None else explorer.name),
        sections.how_to_repeat(run.command, run.config.to_json()),
        sections.data(run.data_card),
    ]
    files.write_text(path, page.render(run.title, _summary(run), parts))
    return Path(path)


def _summary(run: Run) -> str:
    """Returns the paragraph, the tiles and the remarks under the headline."""
    samples, label_names = len(run.predictions.ids), run.predictions.label_names
    modality_names = run.config.model.modality_names
    text = (
        f"Multi-label classification of {', '.join(label_names)} from {', '.join(modality_names)}, "
        f"tested on {samples:,} samples."
    )
    facts = [
        (samples, "test sample", "test samples"),
        (len(label_names), "label", "labels"),
        (len(modality_names), "modality", "modalities"),
    ]
    if run.history:
        members = len({row.get("member", 0) for row in run.history})
        epochs = len({row["epoch"] for row in run.history})
        several = f"{members} ensemble members" if members > 1 else "one model"
        text += f" Training ran for up to {epochs} epochs with {several}."
        facts += [(members, "member", "members"), (epochs, "epoch", "epochs")]
    text += f" All figures show the test predictions of {run.predictions.main}."
    tiles = "".join(
        f"<div><dt>{one if n == 1 else many}</dt><dd>{n:,}</dd></div>" for n, one, many in facts
    )
    summary = f'<p class="lead">{html.escape(text)}</p>\n<dl class="facts">{tiles}</dl>'
    if run.notes:
        remarks = "".join(f"<li>{html.escape(note)}</li>" for note in run.notes)
        summary += f"\n<ul>{remarks}</ul>"
    return summary
