"""Which labels occur together: observed, predicted, and where the two differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from scipy import stats

from lddu.metrics import checks
from lddu.names import named
from lddu.plots import style

_FRAME = {"edgecolor": style.INK, "linewidth": 1.6, "zorder": 3, "clip_on": False}
_MOST_NUMBERS = 12  # more labels leave no room for the numbers in the cells


class _Shares(NamedTuple):
    """(C, C) shares of samples with both labels, NaN where no sample knows both.

    Attributes:
      observed: Observed shares.
      predicted: Predicted shares of the same samples.
      half: Half widths of the intervals of the difference.
      count: Number of samples that know both labels.
    """

    observed: np.ndarray
    predicted: np.ndarray
    half: np.ndarray
    count: np.ndarray


@named
def co_occurrence(
    probs: ArrayLike,
    labels: ArrayLike,
    names: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> style.Figure:
    """Draws how often labels occur together: observed, predicted, and the difference.

    The observed cell (i, j) is the mean of y_i y_j over samples that know both labels, in percent;
    the diagonal is how often a label is present. The predicted cell is the mean of p_i p_j, what
    the probabilities imply if labels are independent given the input; the diagonal is the mean of
    p_i. A cell of the difference is framed where its interval leaves out 0: there the labels depend
    on each other in a way that the probabilities do not have, or these are not calibrated. The
    intervals hold for all cells together (Bonferroni), so that true probabilities of independent
    labels have no frame at all in `level` of samples.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in [0, 1], hard or soft, NaN where unknown. Of soft labels the product
        is the chance that two annotators drawn independently choose one each.
      names: Names of the C labels.
      groups: (N,) group of each row, where rows depend on each other, such as its film; with None
        every row is on its own.
      weights: (N,) weights of the rows, at least 0; None weights all equally.
      level: Confidence level of the intervals of the differences, all together.

    Returns:
      The figure, with axes for observed, predicted and the difference, in percent of the samples.

    Raises:
      ValueError: If shapes and names do not fit together, values are out of range, no label is
        known, `level` is not in (0, 1), or there are fewer than two rows or groups.

    Example:
      >>> import numpy as np
      >>> from lddu import plots
      >>> labels = np.array([[1, 1], [0, 0]] * 30)
      >>> figure = plots.co_occurrence(np.full((60, 2), 0.5), labels, ["joy", "surprise"])
      >>> figure.axes[0].get_images()[0].get_array().tolist()
      [[50.0, 50.0], [50.0, 50.0]]
      >>> figure.axes[1].get_images()[0].get_array().tolist()
      [[50.0, 25.0], [25.0, 50.0]]
    """
    checks.same_shape(probs=probs, labels=labels)
    if np.shape(probs)[1] != len(names):
        raise ValueError(f"probs has {np.shape(probs)[1]} labels, names has {len(names)}")
    checks.fraction("level", level)
    values, known = checks.known("labels", labels, weights)
    checks.units(groups, len(values), "an interval")
    unit = checks.groups(groups, len(values))
    found = _shares(
        checks.unit_interval("probs", probs),
        checks.unit_interval("labels", values),
        known,
        unit,
        level,
    )

    difference = found.predicted - found.observed
    size = min(max(0.42 * len(names) + 0.9, 2.2), 4.2)
    figure = style.new_figure(3 * size + 0.6, size + 1.0)
    panels = figure.subplots(1, 3, sharey=True)
    top = max(np.nanmax(found.observed), np.nanmax(found.predicted), 1e-3)
    # Differences within their intervals stay pale.
    reach = np.nanmax(np.where(np.isfinite(found.half), found.half, 0.0))
    reach = max(np.nanmax(np.abs(difference)), reach, 1e-3)
    shown = (found.observed, found.predicted, difference)
    titles = ("observed", "predicted", "predicted - observed")
    ranges = ((0, top, "Blues"), (0, top, "Blues"), (-reach, reach, "PuOr"))
    for ax, share, title, (low, high, colors) in zip(panels, shown, titles, ranges, strict=True):
        _map(ax, 100 * share, 100 * low, 100 * high, colors, names)
        ax.set_title(title)
        style.tidy(ax)
        ax.grid(False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    for i, j in np.argwhere(np.abs(difference) > found.half):
        panels[2].add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, **_FRAME))
    fewest, most = found.count.min(), found.count.max()
    number = style.counted(int(most)) if fewest == most else f"n = {fewest:,} to {most:,}"
    figure.supxlabel(
        f"{number} samples, in % of them; framed: beyond the {100 * level:g} % interval of all "
        "cells together",
        size=9,
        color=style.INK,
    )
    return figure


def _shares(
    probs: np.ndarray, labels: np.ndarray, known: np.ndarray, unit: np.ndarray, level: float
) -> _Shares:
    """Computes the shares of all pairs, from weights (N, C) of known labels."""
    count = probs.shape[1]
    cells = count * (count + 1) / 2
    found = np.full((4, count, count), np.nan)
    for i, j in zip(*np.triu_indices(count), strict=True):
        weight = np.minimum(known[:, i], known[:, j])
        here = weight > 0
        found[3, [i, j], [j, i]] = here.sum()
        if not here.any():
            continue
        together = [x[:, i] if i == j else x[:, i] * x[:, j] for x in (labels, probs)]
        observed, predicted = (np.average(x, weights=weight) for x in together)
        error, freedom = _standard_error(together[1] - together[0], weight, unit)
        half = error * stats.t.ppf(1 - (1 - level) / 2 / cells, freedom) if freedom else np.inf
        found[:3, [i, j], [j, i]] = np.array([[observed], [predicted], [half]])
    return _Shares(*found[:3], found[3].astype(int))


def _standard_error(values: np.ndarray, weight: np.ndarray, unit: np.ndarray) -> tuple[float, int]:
    """Returns the standard error of a weighted mean over independent units, and its freedom."""
    weights = np.bincount(unit, weight)
    sums = np.bincount(unit, weight * (values - np.average(values, weights=weight)))
    total, number = weights.sum(), np.count_nonzero(weights)
    variance = np.square(sums).sum() / total**2 * number / max(number - 1, 1)
    # A pair that was never seen is not impossible: at least the error of one event.
    single = np.square(weights).sum() / total**2
    return max(np.sqrt(variance), single), number - 1


def _map(
    ax: Axes, shares: np.ndarray, low: float, high: float, colors: str, names: Sequence[str]
) -> None:
    """Draws a map of percentages, with numbers if there is room and a colour bar if not."""
    image = ax.imshow(shares, cmap=colors, vmin=low, vmax=high)
    shown = [style.escape(name) for name in names]
    ax.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), shown)
    if len(names) > _MOST_NUMBERS:
        ax.figure.colorbar(image, ax=ax, shrink=0.7).ax.tick_params(labelsize=8)
        return
    sign = "+" if low < 0 else ""
    for (i, j), share in np.ndenumerate(shares):
        if np.isnan(share):
            continue
        dark = np.abs(share) > 0.6 * high
        number = f"{share:{sign}.0f}" if np.abs(share) >= 9.95 else f"{share:{sign}.1f}"
        color = "white" if dark else style.INK
        ax.text(j, i, number, ha="center", va="center", fontsize=7, color=color)
