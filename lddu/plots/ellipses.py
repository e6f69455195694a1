"""Diagonal Gaussians projected into a plane and drawn as ellipses."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection


class Plane(NamedTuple):
    """A plane through a cloud of points.

    Attributes:
      center: (Z,) mean of the points.
      axes: (2, Z) orthonormal directions, first the one of most variance.
      explained: (2,) share of the variance along each; zeros if there is none.
    """

    center: np.ndarray
    axes: np.ndarray
    explained: np.ndarray


class Ellipses(NamedTuple):
    """1-sigma ellipses of N Gaussians in a plane.

    Attributes:
      points: (N, 2) centres.
      widths: (N,) full lengths of the longer diameters.
      heights: (N,) full lengths of the shorter ones.
      angles: (N,) angles of the longer diameters in degrees.
    """

    points: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    angles: np.ndarray

    def take(self, rows: np.ndarray) -> "Ellipses":
        """Returns the ellipses of some rows."""
        return Ellipses(*(field[rows] for field in self))


def principal_plane(mean: np.ndarray) -> Plane:
    """Returns the plane of the two principal directions of points (N, Z)."""
    covariance = np.atleast_2d(np.cov(mean, rowvar=False, ddof=0))
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, [-1, -2]].T
    # The sign of an eigenvector is arbitrary: a positive largest loading makes it reproducible.
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    total = values.sum()
    explained = values[[-1, -2]] / total if total > 0 else np.zeros(2)
    return Plane(mean.mean(0), axes, explained)


def project(plane: Plane, mean: np.ndarray, var: np.ndarray) -> Ellipses:
    """Projects diagonal Gaussians of mean and variance (N, Z) into a plane."""
    covariance = np.einsum("iz,nz,jz->nij", plane.axes, var, plane.axes)
    values, vectors = np.linalg.eigh(covariance)
    deviations = np.sqrt(np.maximum(values, 0.0))
    angles = np.degrees(np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1]))
    points = (mean - plane.center) @ plane.axes.T
    return Ellipses(points, 2 * deviations[:, 1], 2 * deviations[:, 0], angles)


def draw(
    ax: Axes, ellipses: Ellipses, color: str, label: str, filled: np.ndarray | None = None
) -> None:
    """Draws ellipses and their centres: one collection of each.

    Args:
      ax: Axes to draw on.
      ellipses: N ellipses; the limits of the axes grow to hold them.
      color: Colour of all.
      label: Name in the legend.
      filled: (N,) bool, whether a centre is a dot or a ring; None draws dots.
    """
    ax.add_collection(
        EllipseCollection(
            ellipses.widths,
            ellipses.heights,
            ellipses.angles,
            units="xy",
            offsets=ellipses.points,
            offset_transform=ax.transData,
            facecolors="none",
            edgecolors=color,
            linewidths=0.7,
            alpha=0.45,
        )
    )
    if filled is None:
        ax.scatter(*ellipses.points.T, s=9, color=color, linewidths=0, label=label)
    else:
        faces = np.where(filled, color, "white")
        ax.scatter(*ellipses.points.T, s=11, c=faces, edgecolors=color, linewidths=0.8, label=label)
    reach = np.stack([ellipses.widths, ellipses.heights]).max(0)[:, None] / 2
    ax.update_datalim(np.concatenate([ellipses.points - reach, ellipses.points + reach]))
    ax.autoscale_view()


def subset(count: int, most: int, seed: int) -> np.ndarray:
    """Returns the positions of at most `most` of `count` rows, drawn at random, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
