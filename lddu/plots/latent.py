"""Latent Gaussians as ellipses in the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from lddu.names import named
from lddu.plots import ellipses, style


@named(mean="row latent", var="row latent", group="row")
def latent_ellipses(
    mean: ArrayLike,
    var: ArrayLike,
    group: ArrayLike,
    group_names: Sequence[str] = ("absent", "present"),
    max_points: int = 100,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws diagonal Gaussians, projected to the two principal directions of their means.

    All means define the plane; points and 1-sigma ellipses are drawn for a random subset, so that
    they can be told apart. A note beneath says how many there are.

    Args:
      mean: (N, Z) means, Z at least 2.
      var: (N, Z) variances.
      group: (N,) bool or int index into `group_names`, such as whether a label is present.
      group_names: Names of the groups, for the legend.
      max_points: Largest number of ellipses to draw.
      seed: Seed of the choice of the subset.
      ax: Axes to draw on; None makes a new figure.

    Returns:
      The axes, with one collection of ellipses and one of points per group that occurs.

    Raises:
      ValueError: If shapes do not fit, Z is below 2, or a group has no name.
    """
    mean, var = np.asarray(mean, float), np.asarray(var, float)
    group = np.asarray(group).astype(int)
    if mean.ndim != 2 or mean.shape != var.shape or group.shape != mean.shape[:1]:
        raise ValueError(
            f"mean {mean.shape} and var {var.shape} must be (N, Z), group {group.shape} (N,)"
        )
    if mean.shape[1] < 2:
        raise ValueError(f"mean has {mean.shape[1]} latent dimension; an ellipse needs at least 2")
    if group.min() < 0 or group.max() >= len(group_names):
        raise ValueError(f"group runs to {group.max()}, beyond the {len(group_names)} group_names")

    plane = ellipses.principal_plane(mean)
    rows = ellipses.subset(len(mean), max_points, seed)
    shown, group = ellipses.project(plane, mean[rows], var[rows]), group[rows]

    ax = style.axes_or_new(ax, 5.2, 4.4)
    for index, (name, color) in enumerate(
        zip(group_names, _group_colors(len(group_names)), strict=True)
    ):
        own = group == index
        if own.any():
            ellipses.draw(ax, shown.take(own), color, style.escape(name))
    ax.set_aspect("equal", adjustable="datalim")  # an isotropic Gaussian must look round
    ax.set_xlabel(f"first principal direction ({plane.explained[0]:.0%} of variance)")
    ax.set_ylabel(f"second ({plane.explained[1]:.0%})")
    style.note(ax, style.counted(len(mean), len(rows)))
    style.legend(ax, loc="best")
    return ax


def _group_colors(count: int) -> list[str]:
    """Returns grey and a colour for two groups (absent, present), the palette for more."""
    return [style.MUTED, style.PALETTE[1]] if count == 2 else style.colors(count)
