"""Reliability before and after calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lddu import metrics
from lddu.metrics import checks
from lddu.metrics.bins import assign
from lddu.names import named
from lddu.plots import reliability, style
from lddu.plots.proportions import effective_numbers


@named
def calibration_change(
    before: ArrayLike,
    after: ArrayLike,
    labels: ArrayLike,
    titles: Sequence[str] = ("before", "after"),
    bins: int = 15,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    seed: int = 0,
) -> style.Figure:
    """Draws the reliability of two sets of probabilities side by side, all labels together.

    Titles give the ECE at these bins, and beneath it the root mean squared calibration error
    without its bias, with a 95 % interval (`lddu.metrics.ece_interval`, for as many bins of equal
    mass). Vertical bars are 95 % intervals of the observed frequency: Wilson's, for the number of
    independent entries that the rows or groups of a bin are worth. Counts are on a logarithmic
    axis.

    Args:
      before: (N, C) probabilities before calibration.
      after: (N, C) probabilities after it.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      titles: Titles of the two panels.
      bins: Number of bins of equal width.
      groups: (N,) group of each row, where rows depend on each other, such as its film; with None
        every row is on its own. The labels of one row may depend on each other either way.
      weights: (N,) weights of the rows, at least 0; None weights all equally.
      seed: Seed of the interval's draws.

    Returns:
      The figure, with axes [diagram, counts] before and after.

    Raises:
      ValueError: If shapes differ, values are out of range, no label is known, there are fewer than
        two rows or groups, or there are not two titles.

    References:
      Korn and Graubard, "Confidence Intervals for Proportions with Small Expected Number of
        Positive Counts Estimated from Survey Data", Survey Methodology 1998.

    Example:
      >>> import numpy as np
      >>> from lddu import plots
      >>> labels = np.array([[0], [1]] * 50)
      >>> figure = plots.calibration_change(0.2 + 0.6 * labels, 0.0 + labels, labels)
      >>> [ax.get_title().split("\\n")[1] for ax in figure.axes[::2]]
      ['ECE 0.200', 'ECE 0.000']
    """
    if len(titles) != 2:
        raise ValueError(f"titles has {len(titles)} entries, must be two: before and after")
    checks.same_shape(before=before, after=after, labels=labels)
    values, known = checks.known("labels", labels, weights)
    unit = checks.groups(groups, len(values))

    diagrams = [
        metrics.reliability(checks.unit_interval(name, probs), labels, bins, weights=weights)
        for name, probs in (("before", before), ("after", after))
    ]
    figure = style.new_figure(6.4, 4.2)
    grid = figure.add_gridspec(2, 2, height_ratios=[3.2, 1])
    most = max(diagram.counts.max() for diagram in diagrams)
    for k, (name, probs, diagram) in enumerate(zip(titles, (before, after), diagrams, strict=True)):
        probs = np.asarray(probs, float)
        effective = effective_numbers(
            assign(probs, known, bins, per_label=False, binning="width"), unit, values, known
        )
        panel = figure.add_subplot(grid[0, k])
        counts = figure.add_subplot(grid[1, k], sharex=panel)
        reliability.draw(panel, counts, diagram, effective, most)
        error = metrics.ece_interval(probs, labels, bins, groups=groups, seed=seed, weights=weights)
        panel.set_title(
            f"{style.escape(name)}\nECE {metrics.ece(probs, labels, bins, weights=weights):.3f}\n"
            f"debiased {error.estimate:.3f} [{error.low:.3f}, {error.high:.3f}]"
        )
        counts.set_xlabel("predicted probability")
        style.tidy(panel)
        style.tidy(counts, grid="y")
    figure.axes[0].set_ylabel("observed frequency")
    figure.axes[1].set_ylabel("count")
    used = np.asarray(known) > 0
    rows = f"{style.counted(int(used.any(1).sum()))} samples"
    some = "" if groups is None else f" of {len(np.unique(unit[used.any(1)])):,} groups"
    figure.supxlabel(f"{rows}{some}, {used.sum():,} labels", size=9, color=style.INK)
    return figure
