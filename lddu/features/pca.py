"""Principal components: fewer features per step, fitted on training rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lddu.features.text import TextFeatures


class PCA(NamedTuple):
    """A projection: `mean` (D,) is taken away, then `axes` (D, dim) are applied."""

    mean: np.ndarray
    axes: np.ndarray


def fit(rows: np.ndarray, dim: int, axes_rows: int | None = None) -> PCA:
    """The `dim` orthonormal directions of largest spread about the mean, largest first.

    Args:
      rows: (N, D) training rows.
      dim: Number of directions, at most D.
      axes_rows: Fits the axes on this many first rows only, about the mean of all; None on all.

    Returns:
      The projection. An axis points to where its entry of largest magnitude is positive.

    Raises:
      ValueError: If `rows` is not a non-empty matrix or `dim` is not in 1..D.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"pca: rows of shape {rows.shape}, expected a non-empty (N, D)")
    if not 1 <= dim <= rows.shape[1]:
        raise ValueError(f"pca: dim={dim} is not in 1..{rows.shape[1]}")
    mean = rows.mean(0)
    centred = (rows - mean)[:axes_rows]
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :dim]
    largest = axes[np.abs(axes).argmax(0), np.arange(dim)]
    return PCA(mean, axes * np.sign(largest))


def apply(state: PCA, rows: np.ndarray) -> np.ndarray:
    """Projects (..., D) rows to (..., dim) float32."""
    return ((rows - state.mean) @ state.axes).astype(np.float32)


def reduced(features: TextFeatures, sentences: Sequence[str], dim: int) -> TextFeatures:
    """Text features with `dim` dimensions, by components fitted on the words of `sentences`."""
    state = fit(np.concatenate(features(sentences)), dim)
    return lambda new: [apply(state, rows) for rows in features(new)]
