"""Weights of the modalities and uncertainty along time, above the disagreement of observers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named
from lddu.plots import style


class _Course(NamedTuple):
    """A quantity along time: (K,) times, means and ends of the middle half, NaN where unknown."""

    times: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@named(times="row", weights="row modality", uncertainty="row", disagreement="row")
def timeline(
    times: ArrayLike,
    weights: ArrayLike,
    modality_names: Sequence[str],
    uncertainty: Mapping[str, ArrayLike],
    disagreement: ArrayLike | None = None,
    *,
    window: float = 0.0,
    gap: float = np.inf,
    xlabel: str = "time (s)",
) -> style.Figure:
    """Draws panels with one time axis: stacked weights, each uncertainty, and disagreement.

    With a window, each point is the mean over the points at most half a window away, and bands span
    the middle half of those; without one, values are drawn as they are. A line ends where a value
    is unknown (NaN) and at gaps in time. A panel whose values are not all known says how many are.

    Args:
      times: (T,) increasing times.
      weights: (T, M) share of the fused precision from each modality, non-negative and at most 1 in
        sum, such as `Prediction.weights` averaged over labels; a row of NaN is unknown. The prior
        completes the shares to 1.
      modality_names: Names of the M modalities.
      uncertainty: Name -> (T,) values, such as "aleatoric" and "epistemic"; each gets a panel, from
        0 up unless some are negative.
      disagreement: (T,) disagreement of the observers, NaN where unknown; None leaves it out.
      window: Width of the window, in units of `times`; 0 for none.
      gap: Longest step of time that a line may cross.
      xlabel: Name of the times on their axis.

    Returns:
      The figure, with axes for the weights, each uncertainty and the disagreement.

    Raises:
      ValueError: If shapes do not fit, times do not increase, weights are not shares, values are
        infinite, `window` is negative or `gap` is not positive.

    Example:
      >>> import numpy as np
      >>> from lddu import plots
      >>> weights = np.full((3, 2), 0.4)
      >>> figure = plots.timeline([0, 1, 2], weights, ["text", "audio"], {"total": [0.2, 0.1, 0.2]})
      >>> [ax.get_ylabel() for ax in figure.axes]
      ['share of the\\nprecision', 'total']
    """
    times, shares = _checked(times, weights, modality_names, window, gap)
    values = {
        style.escape(name): _one_per_time(f"uncertainty[{name!r}]", column, len(times))
        for name, column in uncertainty.items()
    }
    if disagreement is not None:
        column = _one_per_time("disagreement", disagreement, len(times))
        values["observer\ndisagreement"] = column

    heights = [2.0, *[1.25] * len(values)]
    figure = style.new_figure(7.2, sum(heights) + 0.8)
    panels = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    courses = [_course(times, column, window, gap) for column in shares.T]
    _stack(panels[0], courses, modality_names)
    panels[0].set_ylabel(_counted("share of the\nprecision", shares[:, 0]))
    colors = style.colors(len(modality_names) + len(uncertainty))[len(modality_names) :]
    for ax, (name, column), color in zip(
        panels[1:], values.items(), [*colors, style.INK], strict=False
    ):
        course = _course(times, column, window, gap)
        ax.plot(course.times, course.mean, color=color, linewidth=1.3)
        if window > 0:
            band = course.times, course.low, course.high
            ax.fill_between(*band, color=color, alpha=0.18, linewidth=0)
        if not np.any(column < 0):
            ax.set_ylim(bottom=0)
        ax.set_ylabel(_counted(name, column))
    for ax in panels:
        style.tidy(ax, grid="y")
    figure.align_ylabels(panels)
    panels[-1].set_xlabel(xlabel)
    panels[-1].set_xlim(times[0], times[-1])
    unit = f"; means and middle halves over windows of {window:g}" if window > 0 else ""
    style.note(panels[-1], f"{style.counted(len(times))} points in time{unit}")
    return figure


def _checked(
    times: ArrayLike, weights: ArrayLike, modality_names: Sequence[str], window: float, gap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns times (T,) and the shares (T, M + 1) of the modalities and the prior."""
    times, weights = np.asarray(times, float), np.asarray(weights, float)
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"times has shape {times.shape}, must be (T,) of at least two points")
    if not np.all(np.diff(checks.finite("times", times)) > 0):
        raise ValueError("times must increase; sort the rows by time and drop repeated ones")
    if weights.shape != (len(times), len(modality_names)):
        raise ValueError(
            f"weights has shape {weights.shape}, must be (T, M), one row for each of the "
            f"{len(times)} times and one column for each of {list(modality_names)}"
        )
    if not window >= 0:
        raise ValueError(f"window={window} must be at least 0, which is no window")
    if not gap > 0:
        raise ValueError(f"gap={gap} must be positive")
    known = ~np.isnan(weights).any(1)
    prior = 1.0 - weights[known].sum(1)
    if np.any(weights[known] < 0) or np.any(prior < -1e-4):
        raise ValueError("weights must be at least 0, and at most 1 in sum over the modalities")
    shares = np.full((len(times), len(modality_names) + 1), np.nan)
    shares[known] = np.column_stack([weights[known], np.maximum(prior, 0.0)])
    return times, shares


def _one_per_time(name: str, values: ArrayLike, count: int) -> np.ndarray:
    """Returns (T,) values, NaN where unknown."""
    values = np.asarray(values, float)
    if values.shape != (count,):
        raise ValueError(
            f"{name} has shape {values.shape}, must have one value for each of the {count} times"
        )
    if np.isinf(values).any():
        raise ValueError(f"{name} holds infinite values; put NaN where unknown")
    return values


def _course(times: np.ndarray, values: np.ndarray, window: float, gap: float) -> _Course:
    """Averages values within windows, and opens the gaps in time."""
    columns = np.tile(values, (3, 1))
    if window > 0:
        starts = np.searchsorted(times, times - window / 2, side="left")
        ends = np.searchsorted(times, times + window / 2, side="right")
        for i in np.flatnonzero(~np.isnan(values)):
            own = values[starts[i] : ends[i]]
            own = own[~np.isnan(own)]
            columns[:, i] = own.mean(), *np.quantile(own, [0.25, 0.75])
    steps = np.diff(times)
    wide = np.flatnonzero(steps > gap)
    middles = times[wide] + steps[wide] / 2
    return _Course(
        np.insert(times, wide + 1, middles),
        *(np.insert(column, wide + 1, np.nan) for column in columns),
    )


def _stack(ax: Axes, courses: Sequence[_Course], modality_names: Sequence[str]) -> None:
    """Draws shares on top of each other, the prior last."""
    names = [*modality_names, "prior"]
    colors = [*style.colors(len(modality_names)), style.PRIOR]
    bottom = np.zeros(len(courses[0].times))
    for course, name, color in zip(courses, names, colors, strict=True):
        top = bottom + course.mean
        ax.fill_between(
            course.times,
            bottom,
            top,
            where=~np.isnan(top),
            color=color,
            linewidth=0,
            label=style.escape(name),
        )
        bottom = top
    ax.set_ylim(0, 1)
    style.legend(
        ax,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(names),
        borderaxespad=0.2,
        handlelength=1.0,
        handleheight=1.0,
    )


def _counted(name: str, values: np.ndarray) -> str:
    """Returns a name, with the number of known values if that is not all."""
    known = np.count_nonzero(~np.isnan(values))
    return name if known == len(values) else f"{name}\n({style.counted(known)})"
