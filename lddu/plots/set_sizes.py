"""Sizes of prediction sets, and the share of true labels that they cover."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.metrics.bins import Bins
from lddu.names import named
from lddu.plots import style
from lddu.plots.proportions import effective_numbers, wilson_interval


class _Coverage(NamedTuple):
    """Mean share of a sample's true labels that its set holds, and its 95 % interval."""

    share: float
    low: float
    high: float


@named
def set_sizes(
    sets: Mapping[str, ArrayLike],
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws how many labels the set of a sample holds, for each kind of sets.

    The legend gives the coverage of each kind: the share of a sample's true labels that are in its
    set, on average over samples that have any, so 1 minus the rate that
    `lddu.calibration.conformal.fit_false_negative_rate` bounds. Its 95 % interval is Wilson's for
    the number of independent samples that the rows or groups are worth. A line shows how many
    labels are true, over samples that know all of them.

    Args:
      sets: Name -> (N, C) bool, whether each label is in each sample's set, as
        `lddu.calibration.conformal.apply` returns.
      labels: (N, C) labels, 0 or 1, NaN where unknown, which have no part in the coverage.
      groups: (N,) group of each row, where rows depend on each other, such as its film; with None
        every row is on its own.
      weights: (N,) weights of the rows, at least 0; None weights all equally.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes, with one container of C + 1 bars per kind of sets.

    Raises:
      ValueError: If there are no sets, shapes differ, values are neither 0 nor 1, or no label is
        known.

    Example:
      >>> from lddu import plots
      >>> ax = plots.set_sizes({"all": [[1, 1], [1, 1]], "one": [[1, 0], [1, 0]]}, [[1, 0], [1, 1]])
      >>> [text.get_text().split(" [")[0] for text in ax.get_legend().get_texts()]
      ['true labels: 1.50', 'all: 2.00 labels, covers 1.00', 'one: 1.00 labels, covers 0.75']
    """
    if not sets:
        raise ValueError("sets is empty; give name -> (N, C) sets")
    given = {f"sets[{name!r}]": values for name, values in sets.items()}
    checks.same_shape(labels=labels, **given)
    kinds = [checks.binary(name, values) for name, values in given.items()]
    values, known = checks.known("labels", labels, weights)
    true = checks.binary("labels", values) & (known > 0)
    row = checks.row_weights(weights, len(true))
    unit = checks.groups(groups, len(true))

    ax = style.axes_or_new(ax, 6.4, 3.6)
    style.tidy(ax, grid="y")
    sizes = np.arange(true.shape[1] + 1)
    width = 0.8 / len(kinds)
    for k, (name, kind, color) in enumerate(
        zip(sets, kinds, style.colors(len(kinds)), strict=True)
    ):
        size = kind.sum(1)
        found = _coverage(kind, true, row, unit)
        covers = f"covers {found.share:.2f} [{found.low:.2f}, {found.high:.2f}]"
        ax.bar(
            sizes + (k + 0.5) * width - 0.4,
            _shares(size, row, len(sizes)),
            width,
            color=color,
            edgecolor="white",
            linewidth=0.5,
            label=f"{style.escape(name)}: {np.average(size, weights=row):.2f} labels, {covers}",
        )
    complete = row * ~np.isnan(np.asarray(labels, float)).any(1)
    if complete.any():
        mean = np.average(true.sum(1), weights=complete)
        ax.stairs(
            _shares(true.sum(1), complete, len(sizes)),
            np.arange(len(sizes) + 1) - 0.5,
            color=style.INK,
            linewidth=1.2,
            label=f"true labels: {mean:.2f}",
        )
    ax.set_xticks(sizes)
    ax.set(xlabel="number of labels in the set", ylabel="share of samples")
    style.note(ax, f"{style.counted(int(np.count_nonzero(row)))} samples")
    style.legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    return ax


def _coverage(
    sets: np.ndarray, true: np.ndarray, weights: np.ndarray, unit: np.ndarray
) -> _Coverage:
    """Returns the coverage of sets over the rows that have a true label, NaN if none has."""
    number = true.sum(1)
    share = (true & sets).sum(1) / np.maximum(number, 1)
    weights = weights * (number > 0)
    if not weights.any():
        return _Coverage(np.nan, 0.0, 1.0)
    one = Bins(np.array([0.0, 1.0]), np.zeros((len(share), 1), int), (1,))
    mean = float(np.average(share, weights=weights))
    worth = effective_numbers(one, unit, share[:, None], weights[:, None])[0]
    return _Coverage(mean, *map(float, wilson_interval(mean, worth)))


def _shares(sizes: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Returns the (count,) share of the weight that each size has."""
    return np.bincount(sizes, weights, count) / weights.sum()
