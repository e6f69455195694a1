"""Principal components: fewer features per step, fitted on training rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lddu.features.text import TextFeatures


class PCA(NamedTuple):
    """A projection: rows minus `mean` (D,), times `axes` (D, dim)."""

    mean: np.ndarray
    axes: np.ndarray


def fit(rows: np.ndarray, dim: int, axes_rows: int | None = None) -> PCA:
    """Fits the `dim` orthonormal directions of largest variance about the mean, largest first.

    Args:
      rows: (N, D) training rows.
      dim: Number of directions, 1 to D.
      axes_rows: Number of first rows that the axes are fitted on, about the mean of all rows; None
        takes all rows.

    Returns:
      The projection. The sign of an axis makes its entry of largest magnitude positive.

    Raises:
      ValueError: If `rows` is not a non-empty matrix, or `dim` is not in 1..D.

    Example:
      >>> import numpy as np
      >>> from lddu.features import pca
      >>> state = pca.fit(np.array([[-2.0, 1.0], [2.0, 1.0]]), dim=1)
      >>> pca.apply(state, np.array([[3.0, 1.0]])).tolist()
      [[3.0]]
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
    """Projects rows.

    Args:
      state: The projection, from `fit`.
      rows: (..., D) rows.

    Returns:
      (..., dim) float32 rows.
    """
    return ((rows - state.mean) @ state.axes).astype(np.float32)


def reduced(features: TextFeatures, sentences: Sequence[str], dim: int) -> TextFeatures:
    """Returns text features with `dim` dimensions.

    Args:
      features: The text features to reduce.
      sentences: Training sentences, on whose words the components are fitted.
      dim: Number of components.

    Raises:
      ValueError: If the sentences have no words, or `dim` is not in 1..D.
    """
    state = fit(np.concatenate(features(sentences)), dim)
    return lambda new: [apply(state, rows) for rows in features(new)]
