"""Latent Gaussians as ellipses in the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from numpy.typing import ArrayLike

from lddu.names import named
from lddu.plots import style


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
    they can be told apart.

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

    axes, explained = _principal_axes(mean)
    center = mean.mean(0)
    if len(mean) > max_points:
        keep = np.sort(np.random.default_rng(seed).choice(len(mean), max_points, replace=False))
        mean, var, group = mean[keep], var[keep], group[keep]
    points = (mean - center) @ axes.T
    widths, heights, angles = _ellipses(np.einsum("iz,nz,jz->nij", axes, var, axes))

    ax = style.axes_or_new(ax, 5.2, 4.4)
    for index, (name, color) in enumerate(
        zip(group_names, _group_colors(len(group_names)), strict=True)
    ):
        own = group == index
        if not own.any():
            continue
        ax.add_collection(
            EllipseCollection(
                widths[own],
                heights[own],
                angles[own],
                units="xy",
                offsets=points[own],
                offset_transform=ax.transData,
                facecolors="none",
                edgecolors=color,
                linewidths=0.7,
                alpha=0.45,
            )
        )
        ax.scatter(*points[own].T, s=9, color=color, linewidths=0, label=style.escape(name))
    reach = np.stack([widths, heights]).max(0)[:, None] / 2
    ax.update_datalim(np.concatenate([points - reach, points + reach]))
    ax.autoscale_view()
    ax.set_aspect("equal", adjustable="datalim")  # an isotropic Gaussian must look round
    ax.set_xlabel(f"first principal direction ({explained[0]:.0%} of variance)")
    ax.set_ylabel(f"second ({explained[1]:.0%})")
    style.legend(ax, loc="best")
    return ax


def _group_colors(count: int) -> list[str]:
    """Returns grey and a colour for two groups (absent, present), the palette for more."""
    return [style.MUTED, style.PALETTE[1]] if count == 2 else style.colors(count)


def _principal_axes(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (2, Z) principal directions of the rows and the (2,) variance along them."""
    covariance = np.atleast_2d(np.cov(mean, rowvar=False, ddof=0))
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, [-1, -2]].T
    # The sign of an eigenvector is arbitrary: a positive largest loading makes it reproducible.
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    total = values.sum()
    return axes, values[[-1, -2]] / total if total > 0 else np.zeros(2)


def _ellipses(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns full widths, full heights and angles in degrees of 1-sigma ellipses, (N,) each."""
    values, vectors = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(values, 0.0))
    angles = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    return 2 * deviations[:, 1], 2 * deviations[:, 0], angles
