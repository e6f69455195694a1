"""Risk against coverage: the gain from abstaining on the least certain predictions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.plots import style


def risk_coverage(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None
) -> Axes:
    """Draws one line per curve; lower is better.

    A dotted line marks each curve's risk at full coverage; an uninformative confidence would follow
    it.

    Args:
      curves: name -> (coverage, risk), each (K,): the share of predictions that are kept, and the
        mean error among them.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes.

    Raises:
      ValueError: If a curve's two arrays differ in shape, naming it.
    """
    ax = style.axes_or_new(ax, 6.4, 3.8)
    top = 0.0
    for i, (name, (coverage, risk)) in enumerate(curves.items()):
        coverage, risk = np.asarray(coverage, float), np.asarray(risk, float)
        if coverage.shape != risk.shape or coverage.ndim != 1:
            raise ValueError(
                f"curve {name!r}: coverage {coverage.shape} and risk {risk.shape} must both be (K,)"
            )
        color = style.PALETTE[i % len(style.PALETTE)]
        # Curves beyond the number of colours are dashed.
        dashes = "-" if i < len(style.PALETTE) else "--"
        ax.plot(coverage, risk, dashes, color=color, linewidth=1.6, label=style.escape(name))
        ax.axhline(risk[np.argmax(coverage)], color=color, linewidth=0.8, linestyle=":", alpha=0.7)
        top = max(top, float(np.nanmax(risk)))
    ax.set(xlabel="coverage (share of predictions kept)", ylabel="risk (error among those kept)")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.08 * top if top > 0 else 1)
    style.legend(ax, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
