"""Reliability diagrams: observed frequencies against predicted probabilities."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter
from numpy.typing import ArrayLike

from lddu import metrics
from lddu.metrics import checks
from lddu.names import named
from lddu.plots import style
from lddu.plots.proportions import wilson_interval


@named
def reliability_diagram(
    probs: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    bins: int = 15,
    *,
    weights: ArrayLike | None = None,
) -> style.Figure:
    """Draws observed frequency against mean probability, with counts beneath, for each label.

    Vertical bars are Wilson's 95 % intervals; bins without predictions are hatched. Counts are on a
    logarithmic axis, since rare labels crowd the first bin. With weights, counts are their sums,
    and intervals take Kish's effective number of rows, (sum w)^2 / sum w^2.

    Args:
      probs: (N, C) predicted probabilities.
      labels: (N, C) labels in [0, 1], hard or soft, NaN where unknown; a label may be always, never
        or not known to be present.
      names: Names of the C labels.
      bins: Number of bins of equal width.
      weights: (N,) weights of the rows, at least 0; None weights all equally.

    Returns:
      The figure, with axes [diagram, counts] for each label in turn.

    Raises:
      ValueError: If shapes and names do not fit together.
    """
    probs, labels = np.asarray(probs, float), np.asarray(labels, float)
    if probs.ndim != 2 or probs.shape != labels.shape or probs.shape[1] != len(names):
        raise ValueError(
            f"probs {probs.shape} and labels {labels.shape} must both be (N, C), and there are "
            f"{len(names)} names"
        )
    known, each = checks.known("labels", labels, weights)
    found = metrics.reliability(probs, labels, bins, per_label=True, weights=weights)
    squares = None if weights is None else np.square(weights)
    effective = metrics.reliability(probs, labels, bins, per_label=True, weights=squares).counts
    effective = np.square(found.counts) / np.maximum(effective, np.finfo(float).tiny)
    errors = metrics.ece(probs, labels, bins, average="none", weights=weights)
    columns = min(len(names), 4)
    rows = math.ceil(len(names) / columns)
    figure = style.new_figure(max(2.6 * columns, 3.2), 3.6 * rows)
    figure.get_layout_engine().set(h_pad=0.07)  # keeps a title off the ticks above it
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3.2, 1] * rows)
    for c, name in enumerate(names):
        row, column = divmod(c, columns)
        diagram = figure.add_subplot(grid[2 * row, column])
        counts = figure.add_subplot(grid[2 * row + 1, column], sharex=diagram)
        own = metrics.Reliability(found.edges, *(field[c] for field in found[1:]))
        draw(diagram, counts, own, effective[c], most=found.counts.max())
        support = _support(np.sum(each[:, c] * known[:, c]), np.sum(each[:, c]))
        error = "" if np.isnan(errors[c]) else f"ECE {errors[c]:.3f} · "
        diagram.set_title(f"{style.escape(name)}\n{error}{support}")
        if column == 0:
            diagram.set_ylabel("observed frequency")
            counts.set_ylabel("count")
        if c + columns >= len(names):  # nothing below
            counts.set_xlabel("predicted probability")
        style.tidy(diagram)
        style.tidy(counts, grid="y")
    return figure


def draw(
    diagram: Axes, counts: Axes, found: metrics.Reliability, effective: np.ndarray, most: float
) -> None:
    """Draws one diagram and its counts.

    Args:
      diagram: Axes for observed frequencies.
      counts: Axes for the counts.
      found: Reliability of K bins.
      effective: (K,) number of independent entries that each bin is worth, for its interval.
      most: Largest count of a bin in any panel of the figure.
    """
    edges, number = found.edges, found.counts
    full = number > 0
    for ax in (diagram, counts):
        for left, right in zip(edges[:-1][~full], edges[1:][~full], strict=True):
            ax.axvspan(left, right, zorder=0, **style.EMPTY)
    diagram.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.0, linestyle="--", zorder=1)
    observed, mean = found.observed[full], found.mean_prob[full]
    low, high = wilson_interval(observed, effective[full])
    diagram.errorbar(
        mean,
        observed,
        # Rounding may put an end of the interval beyond the point by 1e-17.
        yerr=np.maximum([observed - low, high - observed], 0.0),
        fmt="o",
        color=style.PALETTE[0],
        markersize=4,
        elinewidth=1.2,
        zorder=3,
    )
    diagram.set(xlim=(0, 1), ylim=(-0.03, 1.03))
    diagram.tick_params(labelbottom=False)
    counts.bar(
        edges[:-1][full],
        number[full],
        np.diff(edges)[full],
        align="edge",
        color=style.PALETTE[0],
        edgecolor="white",
        linewidth=0.5,
    )
    counts.set_yscale("log")
    counts.set_ylim(0.5, max(10, 1.6 * most))  # a bin of one sample still shows
    counts.minorticks_off()
    counts.yaxis.set_major_formatter(EngFormatter(sep=""))  # 1, 10, 100, 1k


def _support(positives: float, total: float) -> str:
    """Returns how often a label is present, from weights."""
    if total == 0:
        return "never known"
    if positives == 0:
        return "never present"
    if positives == total:
        return "always present"
    return f"{positives:.4g} of {total:.4g} present"
