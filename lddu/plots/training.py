"""The course of training: losses and validation scores by epoch."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from lddu.metrics import checks
from lddu.plots import style

Monitor = Literal["nll", "micro_f1"]

_SCORES = {
    "train_loss": "training loss",
    "train_nll": "training NLL",
    "valid_nll": "validation NLL",
    "valid_micro_f1": "validation micro F1",
}
_NO_TERMS = {"train_loss", "train_grad_norm"}


def training_curves(history: Sequence[Mapping[str, float]], monitor: str = "nll") -> style.Figure:
    """Draws one panel per quantity and one line per ensemble member, and marks chosen epochs.

    Args:
      history: One mapping per epoch (and member), as `lddu.training` records it: "epoch", and any
        of "train_loss", "train_nll", "valid_nll", "valid_micro_f1" and "train_<term>" for the terms
        of the loss before weighting, which share one panel, averaged over members. "member"
        distinguishes members. Other keys are ignored.
      monitor: Validation score that chose the epoch: "nll" (lowest) or "micro_f1" (highest).

    Returns:
      The figure.

    Raises:
      ValueError: If `history` is empty, or `monitor` is unknown.
    """
    if not history:
        raise ValueError("history is empty; give one mapping per epoch")
    checks.choice("monitor", monitor, Monitor)
    members: dict[object, list[Mapping[str, float]]] = {}
    for row in history:
        members.setdefault(row.get("member", 0), []).append(row)
    members = {name: sorted(rows, key=lambda r: r["epoch"]) for name, rows in members.items()}

    keys = {key for row in history for key in row}
    scores = [key for key in _SCORES if key in keys]
    terms = sorted(key for key in keys if key.startswith("train_") and key not in _NO_TERMS)
    if terms == ["train_nll"]:
        terms = []  # it has a panel already
    panels = len(scores) + bool(terms)
    columns = 2 if panels == 4 else min(max(panels, 1), 3)
    rows = math.ceil(panels / columns)
    figure = style.new_figure((4.6 if columns < 3 else 3.3) * columns, 2.8 * rows)
    figure.get_layout_engine().set(h_pad=0.07)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(panels)]
    for ax, key in zip(axes, scores, strict=False):
        _score_panel(ax, key, members, f"valid_{monitor}")
    if scores and len(members) <= len(style.PALETTE):  # more would share colours
        style.legend(axes[0])
    if terms:
        _terms_panel(axes[-1], terms, history)
    for ax in axes:
        style.tidy(ax)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _column(rows: Sequence[Mapping[str, float]], key: str) -> np.ndarray:
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], float)


def _chosen(rows: Sequence[Mapping[str, float]], monitor: str) -> int | None:
    """Returns the row that validation chose, or None without the monitored score."""
    score = _column(rows, monitor)
    if np.isnan(score).all():
        return None
    return int(np.nanargmin(score) if monitor == "valid_nll" else np.nanargmax(score))


def _score_panel(
    ax: Axes, key: str, members: Mapping[object, Sequence[Mapping[str, float]]], monitor: str
) -> None:
    several = len(members) > 1
    for (name, rows), color in zip(members.items(), style.colors(len(members)), strict=True):
        epochs, values = _column(rows, "epoch"), _column(rows, key)
        ax.plot(
            epochs,
            values,
            color=color,
            linewidth=1.1 if several else 1.6,
            alpha=0.8 if several else 1.0,
            label=f"member {style.escape(name)}" if several else "_",
        )
        best = _chosen(rows, monitor)
        if best is not None:
            if not several:
                ax.axvline(epochs[best], color=style.MUTED, linewidth=0.8, linestyle="--", zorder=1)
            ax.plot(
                epochs[best : best + 1],
                values[best : best + 1],
                "o",
                color=color,
                markeredgecolor="white",
                markersize=7,
                zorder=3,
                label="_" if several else f"chosen: epoch {epochs[best]:g}",
            )
    ax.set_title(_SCORES[key])


def _terms_panel(ax: Axes, terms: Sequence[str], history: Sequence[Mapping[str, float]]) -> None:
    epochs = np.unique(_column(history, "epoch"))
    smallest, largest = np.inf, -np.inf
    for key, color in zip(terms, style.colors(len(terms)), strict=True):
        means = []
        for epoch in epochs:
            values = _column([row for row in history if row["epoch"] == epoch], key)
            values = values[~np.isnan(values)]
            means.append(values.mean() if values.size else np.nan)
        name = key.removeprefix("train_").replace("_", " ")
        ax.plot(epochs, means, color=color, linewidth=1.4, label=style.escape(name))
        smallest, largest = min(smallest, np.nanmin(means)), max(largest, np.nanmax(means))
    if smallest > 0 and largest / smallest > 20:
        ax.set_yscale("log")  # a linear axis would show only the largest term
    ax.set_title("terms of the loss")
    style.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
