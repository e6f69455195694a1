"""One quantity against another, for many points: an estimate against the truth."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from lddu.plots import style


def agreement(
    truth: ArrayLike,
    estimate: ArrayLike,
    xlabel: str = "truth",
    ylabel: str = "estimate",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draws how often which pairs occur, and the diagonal on which both are equal.

    Args:
      truth: (N,) or any shape, in [0, 1].
      estimate: Of the same shape, in [0, 1].
      xlabel: What `truth` is.
      ylabel: What `estimate` is.
      title: Over the panel.
      ax: Where to draw; None makes a new figure.

    Raises:
      ValueError: If the shapes differ or values lie outside of [0, 1].
    """
    truth, estimate = np.asarray(truth, float), np.asarray(estimate, float)
    if truth.shape != estimate.shape:
        raise ValueError(f"truth {truth.shape} and estimate {estimate.shape} differ in shape")
    for name, values in (("truth", truth), ("estimate", estimate)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} has values outside of [0, 1] or NaN")
    ax = style.axes_or_new(ax, 3.6, 3.4)
    counts, _, _ = np.histogram2d(truth.ravel(), estimate.ravel(), 50, ((0, 1), (0, 1)))
    shown = np.ma.masked_equal(counts.T, 0)
    ax.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="Blues", norm=LogNorm(vmin=0.5))
    ax.plot((0, 1), (0, 1), "--", color=style.MUTED, linewidth=1)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=style.escape(title), aspect="equal")
    return ax
