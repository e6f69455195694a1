"""The style of all figures: colours, a quiet grid, figures that notebooks show."""

import io
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.figure
from matplotlib.artist import Artist

# Okabe and Ito's palette, which is legible with any colour vision, without its yellow, which is too
# pale for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#333333"
MUTED = "#8a8a8a"
GRID = "#e4e4e4"
PRIOR = "#c4c4c4"  # the share of the prior beside those of modalities
EMPTY = {"facecolor": "#f4f4f4", "edgecolor": "#cfcfcf", "hatch": "////", "linewidth": 0.0}
"""The style of a region without data."""

_SCREEN_DPI, _PNG_DPI = 100, 200  # drawn at twice the size shown, for screens of high resolution


def colors(count: int) -> list[str]:
    """Returns the first `count` colours of the palette, which repeats after seven."""
    return [PALETTE[i % len(PALETTE)] for i in range(count)]


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure, independent of pyplot, that a notebook shows as a picture."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_PNG_DPI, facecolor="white")
        width, height = (round(inches * _SCREEN_DPI) for inches in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


class Axes(matplotlib.axes.Axes):
    """Axes that a notebook shows as the figure that contains them."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.get_figure(root=True)._repr_png_()


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, sized in inches, that lays out its own margins."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(
    ax: matplotlib.axes.Axes | None, width: float, height: float
) -> matplotlib.axes.Axes:
    """Returns the given axes, or new ones in a figure of this size, in the common style."""
    if ax is None:
        ax = new_figure(width, height).add_subplot(axes_class=Axes)
    return tidy(ax)


def tidy(ax: matplotlib.axes.Axes, grid: str = "both") -> matplotlib.axes.Axes:
    """Gives axes the common style: a thin grey grid behind the data, no box, small ticks.

    Args:
      ax: Axes to change, in place.
      grid: Grid lines to draw: "x", "y" or "both".

    Returns:
      The same axes.
    """
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.grid(False)
    ax.grid(True, axis=grid, color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=8, length=3, color=MUTED)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(size=9, color=INK)
    ax.title.set(size=10, color=INK)
    return ax


def legend(ax: matplotlib.axes.Axes, **options) -> None:
    """Adds a small legend without a frame to axes with labelled artists."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(**{"frameon": False, "fontsize": 8, "labelcolor": INK, **options})


def legend_above(figure: matplotlib.figure.Figure, handles: Sequence[Artist]) -> None:
    """Adds a legend above all panels, with as many columns as the width of the figure allows."""
    longest = max(len(handle.get_label()) for handle in handles)
    columns = int(figure.get_figwidth() / (0.5 + 0.07 * longest))  # inches of an entry
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(max(columns, 1), len(handles)),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )


def note(ax: matplotlib.axes.Axes, text: str) -> None:
    """Adds a line beneath the name of the horizontal axis, such as the number of samples."""
    ax.set_xlabel(f"{ax.get_xlabel()}\n{text}".lstrip("\n"))


def counted(total: int, drawn: int | None = None) -> str:
    """Returns a note of the number of samples, and of how many of them are drawn.

    Example:
      >>> from lddu.plots import style
      >>> style.counted(1200), style.counted(1200, 100)
      ('n = 1,200', 'n = 1,200, of which 100 are drawn')
    """
    rest = "" if drawn in (None, total) else f", of which {drawn:,} are drawn"
    return f"n = {total:,}{rest}"


def escape(text: object) -> str:
    """Returns text for a figure in which a dollar sign does not start a formula."""
    return str(text).replace("$", r"\$")
