"""Agreement of an estimate with the truth, for many points."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named
from lddu.plots import style


@named
def agreement(
    truth: ArrayLike,
    estimate: ArrayLike,
    xlabel: str = "truth",
    ylabel: str = "estimate",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws a two-dimensional histogram of pairs, and the diagonal on which both are equal.

    A note beneath says how many pairs there are.

    Args:
      truth: True values in [0, 1], of any shape.
      estimate: Estimates in [0, 1], of the same shape.
      xlabel: Name of `truth` on its axis.
      ylabel: Name of `estimate` on its axis.
      title: Title of the panel.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes.

    Raises:
      ValueError: If the shapes differ, or values are NaN or outside of [0, 1].
    """
    truth, estimate = np.asarray(truth, float), np.asarray(estimate, float)
    if truth.shape != estimate.shape:
        raise ValueError(
            f"shapes differ: truth {truth.shape}, estimate {estimate.shape}; pass one estimate per "
            "true value"
        )
    for name, values in (("truth", truth), ("estimate", estimate)):
        checks.unit_interval(name, values)
    ax = style.axes_or_new(ax, 3.6, 3.4)
    counts, _, _ = np.histogram2d(truth.ravel(), estimate.ravel(), 50, ((0, 1), (0, 1)))
    shown = np.ma.masked_equal(counts.T, 0)
    ax.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="Blues", norm=LogNorm(vmin=0.5))
    ax.plot((0, 1), (0, 1), "--", color=style.MUTED, linewidth=1)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=style.escape(title), aspect="equal")
    style.note(ax, style.counted(truth.size))
    return ax
