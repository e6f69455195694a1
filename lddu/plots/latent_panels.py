"""Latent Gaussians of every label and modality, in one plane."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named
from lddu.plots import ellipses, style


@named
def latent_panels(
    mean: ArrayLike,
    var: ArrayLike,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    labels: ArrayLike | None = None,
    observed: ArrayLike | None = None,
    max_points: int = 30,
    seed: int = 0,
) -> style.Figure:
    """Draws a panel of 1-sigma ellipses per label, with a colour per modality.

    All panels show the same plane, that of the two principal directions of all means together, on
    the same axes: positions and sizes compare across labels and modalities. Each panel draws a
    random subset of the samples, the same in all panels. A centre is a dot where the label is
    present (at least half, for soft labels) and a ring where it is absent; samples whose label is
    unknown are left out of its panel.

    Args:
      mean: (N, C, M, Z) means, Z at least 2, such as the stacked `Prediction.latents`.
      var: (N, C, M, Z) variances.
      label_names: Names of the C labels, for the titles.
      modality_names: Names of the M modalities, for the legend.
      labels: (N, C) labels in [0, 1], hard or soft, NaN where unknown; None draws dots only.
      observed: (N, M) bool, which modalities each sample has, as `Batch.observed` returns; the
        others are neither drawn nor part of the plane. None takes all.
      max_points: Largest number of samples to draw.
      seed: Seed of the choice of the subset.

    Returns:
      The figure, with one axes per label. Each holds, for each modality that occurs in it, a
      collection of ellipses and one of centres.

    Raises:
      ValueError: If shapes and names do not fit together, Z is below 2, values are not finite where
        a modality is observed, or nothing is observed.

    Example:
      >>> import numpy as np
      >>> from lddu import plots
      >>> mean = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
      >>> names = ["joy", "anger"], ["text", "audio", "vision"]
      >>> figure = plots.latent_panels(mean, np.ones_like(mean), *names)
      >>> [ax.get_title() for ax in figure.axes]
      ['joy', 'anger']
    """
    mean, var = np.asarray(mean, float), np.asarray(var, float)
    seen = _checked(mean, var, label_names, modality_names, observed)
    present, known = _presence(labels, mean.shape[:2])
    plane = ellipses.principal_plane(checks.finite("mean", mean[seen]))
    checks.finite("var", var[seen])
    rows = ellipses.subset(len(mean), max_points, seed)

    columns = min(len(label_names), 4)
    lines = math.ceil(len(label_names) / columns)
    figure = style.new_figure(max(2.6 * columns, 3.6), 3.1 * lines + 0.9)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for c, name in enumerate(label_names):
        ax = panels.flat[c]
        for m, color in enumerate(style.colors(len(modality_names))):
            own = rows[(seen[:, c, m] & known[:, c])[rows]]
            if own.size:
                shown = ellipses.project(plane, mean[own, c, m], var[own, c, m])
                filled = None if labels is None else present[own, c]
                ellipses.draw(ax, shown, color, "_", filled)
        title = style.escape(name)
        if labels is not None:
            title += f"\n{present[:, c].sum():,} of {known[:, c].sum():,} present"
        ax.set_title(title)
        ax.set_aspect("equal")  # an isotropic Gaussian must look round
        ax.tick_params(labelbottom=c + columns >= len(label_names))  # nothing below
        style.tidy(ax)
    for ax in panels.flat[len(label_names) :]:
        ax.remove()
    _square(panels.flat[0])
    first, second = plane.explained
    note = style.counted(len(mean), len(rows))
    figure.supxlabel(
        f"first principal direction ({first:.0%} of variance)\n{note}", size=9, color=style.INK
    )
    figure.supylabel(f"second ({second:.0%})", size=9, color=style.INK)
    _legend(figure, modality_names, labels is not None)
    return figure


def _checked(
    mean: np.ndarray,
    var: np.ndarray,
    label_names: Sequence[str],
    modality_names: Sequence[str],
    observed: ArrayLike | None,
) -> np.ndarray:
    """Returns (N, C, M) bool, where the Gaussians are those of an observed modality."""
    expected = (len(label_names), len(modality_names))
    if mean.ndim != 4 or mean.shape[1:3] != expected or mean.shape != var.shape:
        raise ValueError(
            f"mean {mean.shape} and var {var.shape} must both be (N, *{expected}, Z) for these "
            "names"
        )
    if mean.shape[3] < 2:
        raise ValueError(f"mean has {mean.shape[3]} latent dimension; an ellipse needs at least 2")
    wanted = (len(mean), expected[1])
    observed = np.ones(wanted, bool) if observed is None else np.asarray(observed, bool)
    if observed.shape != wanted:
        raise ValueError(f"observed has shape {observed.shape}, must be (N, M), {wanted}")
    if not observed.any():
        raise ValueError(f"observed {wanted} is False everywhere; there is nothing to draw")
    return np.broadcast_to(observed[:, None], mean.shape[:3])


def _presence(labels: ArrayLike | None, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (N, C) bool where labels are present, and where they are known."""
    if labels is None:
        return np.zeros(shape, bool), np.ones(shape, bool)
    if np.shape(labels) != shape:
        raise ValueError(f"labels has shape {np.shape(labels)}, must be (N, C), {shape}")
    values, weights = checks.known("labels", labels)
    known = weights > 0
    return (checks.unit_interval("labels", values) >= 0.5) & known, known


def _square(ax: Axes) -> None:
    """Widens the shorter side of the limits, so that panels are squares."""
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    half = np.diff(limits).max() / 2
    low, high = (limits.mean(1) + side for side in (-half, half))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _legend(figure: style.Figure, modality_names: Sequence[str], with_labels: bool) -> None:
    """Adds the colours of the modalities and, with labels, the meaning of dots and rings."""
    dots = dict(marker="o", linestyle="", markersize=4)
    handles = [
        Line2D([], [], color=color, label=style.escape(name), **dots)
        for name, color in zip(modality_names, style.colors(len(modality_names)), strict=True)
    ]
    if with_labels:
        ink = dict(color=style.INK, **dots)
        handles.append(Line2D([], [], label="present", **ink))
        handles.append(Line2D([], [], label="absent", markerfacecolor="white", **ink))
    style.legend_above(figure, handles)
