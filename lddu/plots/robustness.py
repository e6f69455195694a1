"""Scores against the strength of a corruption of the inputs, from the results of a run."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lddu.plots import style
from lddu.plots.lines import draw_line

Stat = Mapping[str, float]
Panel = tuple[str, str]

_CLEAN = "_clean"
_DAMAGED = re.compile(r"(.+)_(\d+)")


def robustness_curves(
    models: Mapping[str, Mapping[str, Stat]],
    metrics: Sequence[str] = ("nll",),
    corruptions: Sequence[str] | None = None,
) -> style.Figure:
    """Draws a row of panels per metric and a column per corruption, with a line per model.

    A line is the mean over the runs (seeds) of a model, from clean inputs at severity 0 up; its
    band is one standard deviation of the runs. Panels of a row share their axis of scores. The
    legend says how many runs a model has.

    Args:
      models: Model -> "<metric>_clean" and "<metric>_<corruption>_<severity>" -> "mean", "std" and
        "n" over runs, as `experiments/robustness.py` writes them into `results.json`, under
        "models". Means that are NaN or None are left out, and so are other keys.
      metrics: Metrics to draw.
      corruptions: Corruptions to draw; None takes all, in the order of the results.

    Returns:
      The figure, with one axes per metric and corruption, row by row.

    Raises:
      ValueError: If there are no models, or a metric or corruption has no results.

    Example:
      >>> from lddu import plots
      >>> def stat(mean):
      ...     return {"mean": mean, "std": 0.01, "n": 3}
      >>> scores = {"nll_clean": stat(0.2), "nll_noise_1": stat(0.25), "nll_noise_2": stat(0.4)}
      >>> (ax,) = plots.robustness_curves({"precision": scores}).axes
      >>> ax.get_lines()[0].get_ydata().tolist()
      [0.2, 0.25, 0.4]
    """
    scores = {model: _by_panel(results) for model, results in models.items()}
    panels_found = list(dict.fromkeys(panel for found in scores.values() for panel in found))
    for metric in metrics:
        _require("metric", metric, [found for found, _ in panels_found])
    found = [name for metric, name in panels_found if metric in metrics]
    for name in corruptions or ():
        _require("corruption", name, found)
    names = list(dict.fromkeys(corruptions or found))

    figure = style.new_figure(max(2.6 * len(names), 4.0), 2.3 * len(metrics) + 0.9)
    panels = figure.subplots(len(metrics), len(names), sharex="col", sharey="row", squeeze=False)
    colors = dict(zip(models, style.colors(len(models)), strict=True))
    for (i, j), ax in np.ndenumerate(panels):
        for model, found in scores.items():
            _draw(ax, found.get((metrics[i], names[j]), {}), colors[model], model)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_title(style.escape(names[j].replace("_", " ")) if i == 0 else "")
        ax.set_ylabel(metrics[i].replace("_", " ") if j == 0 else "")
        style.tidy(ax)
    note = "severity (0: clean inputs)\nbands: one standard deviation over the runs of a model"
    figure.supxlabel(note, size=9, color=style.INK)
    style.legend_above(
        figure,
        [
            Line2D([], [], color=color, marker="o", markersize=3.5, label=_counted(model, scores))
            for model, color in colors.items()
        ],
    )
    return figure


def _by_panel(results: Mapping[str, Stat]) -> dict[Panel, dict[int, Stat]]:
    """Returns (metric, corruption) -> severity -> statistics, where these have a mean."""
    defined = {
        key: stat
        for key, stat in results.items()
        if stat["mean"] is not None and np.isfinite(stat["mean"])
    }
    clean = {key.removesuffix(_CLEAN): defined[key] for key in defined if key.endswith(_CLEAN)}
    panels: dict[Panel, dict[int, Stat]] = {}
    for key, stat in defined.items():
        # Of metrics such as "ece" and "ece_macro", the longer name claims the key.
        metric = max((m for m in clean if key.startswith(f"{m}_")), key=len, default=None)
        damaged = metric and _DAMAGED.fullmatch(key.removeprefix(f"{metric}_"))
        if damaged:
            panel = panels.setdefault((metric, damaged[1]), {0: clean[metric]})
            panel[int(damaged[2])] = stat
    return panels


def _require(kind: str, name: str, known: Sequence[str]) -> None:
    """Raises unless a name is among those known."""
    if name not in known:
        listed = ", ".join(map(repr, dict.fromkeys(known))) or "none at all"
        raise ValueError(f"models: no results of {kind} {name!r}; there are {listed}")


def _draw(ax: Axes, stats: Mapping[int, Stat], color: str, model: str) -> None:
    """Draws the scores of a model by severity."""
    if not stats:
        return
    severities = sorted(stats)
    mean, std = (
        np.array([stats[severity][key] for severity in severities], float)
        for key in ("mean", "std")
    )
    several = any(stat["n"] > 1 for stat in stats.values())
    draw_line(ax, np.array(severities), mean, std if several else None, color, model)


def _counted(model: str, scores: Mapping[str, Mapping[Panel, Mapping[int, Stat]]]) -> str:
    """Returns the name of a model with the number of its runs."""
    runs = {stat["n"] for panel in scores[model].values() for stat in panel.values()}
    return f"{style.escape(model)} (n = {max(runs, default=0)})"
