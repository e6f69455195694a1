"""Lines with the spread of several runs around them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.plots import style


def mean_lines(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws one line per curve, the mean over runs, in a band of one standard deviation.

    A note beneath says of how many runs, unless every curve is that of a single one.

    Args:
      x: (K,) positions.
      curves: name -> (runs, K) values, or (K,) for a single run, which has no band.
      xlabel: Name of the positions on their axis.
      ylabel: Name of the values on their axis.
      title: Title of the panel.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes.

    Raises:
      ValueError: If a curve does not have one value per position.
    """
    x = np.asarray(x, float)
    ax = style.axes_or_new(ax, 4.2, 3.2)
    runs = []
    for color, (name, values) in zip(style.colors(len(curves)), curves.items(), strict=True):
        values = np.atleast_2d(np.asarray(values, float))
        if values.shape[1:] != x.shape:
            raise ValueError(f"curve {name!r} has shape {values.shape}, must be (runs, {len(x)})")
        spread = values.std(0, ddof=1) if len(values) > 1 else None
        runs.append(len(values))
        draw_line(ax, x, values.mean(0), spread, color, name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=style.escape(title))
    fewest, most = min(runs, default=1), max(runs, default=1)
    if most > 1:
        count = f"{most}" if fewest == most else f"{fewest} to {most}"
        style.note(ax, f"mean and standard deviation\nof n = {count} runs")
    style.legend(ax)
    return ax


def draw_line(
    ax: Axes, x: np.ndarray, mean: np.ndarray, spread: np.ndarray | None, color: str, name: str
) -> None:
    """Draws one line and a band around it.

    Args:
      ax: Axes to draw on.
      x: (K,) positions.
      mean: (K,) values; NaN interrupts the line.
      spread: (K,) half widths of the band; None draws none.
      color: Colour of both.
      name: Name in the legend.
    """
    ax.plot(x, mean, "o-", color=color, markersize=3.5, label=style.escape(name))
    if spread is not None:
        ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
