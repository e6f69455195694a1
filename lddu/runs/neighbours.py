"""Nearest neighbours in a latent space."""

import numpy as np
from einops import rearrange

from lddu.gaussian import Gaussian

_HELD = 1 << 24  # most distances held at once


def nearest(latent: Gaussian, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest neighbours of each sample, by the 2-Wasserstein distance.

    For diagonal Gaussians that is the Euclidean distance of their means and standard deviations,
    here of all labels together.

    Args:
      latent: Gaussian of one distribution per sample and label: mean and variance (N, C, Z).
      count: Number of neighbours K of each sample; N - 1 if there are fewer.

    Returns:
      (N, K) int32 rows of the neighbours, the nearest first, never the sample itself; and (N, K)
      float32 distances.

    References:
      Dowson and Landau, "The Frechet Distance between Multivariate Normal Distributions", 1982.

    Example:
      >>> mean = np.array([0.0, 1.0, 3.0]).reshape(3, 1, 1)
      >>> rows, distances = nearest(Gaussian(mean, np.ones((3, 1, 1))), 1)
      >>> rows[:, 0].tolist(), distances[:, 0].tolist()
      ([1, 0, 1], [1.0, 1.0, 2.0])
    """
    parts = np.asarray(latent.mean), np.sqrt(np.maximum(latent.var, 0))
    points = np.concatenate([rearrange(x, "n c z -> n (c z)") for x in parts], 1, dtype=np.float32)
    points -= points.mean(0)  # small numbers lose less to rounding below
    total = len(points)
    count = min(count, total - 1)
    rows, distances = np.empty((total, count), np.int32), np.empty((total, count), np.float32)
    if not count:
        return rows, distances
    squares = np.einsum("nd,nd->n", points, points)
    size = max(_HELD // total, 1)
    for start in range(0, total, size):
        block = points[start : start + size]
        own = np.arange(len(block))
        # The squared distances, but for the square of the sample itself, which all have in common.
        far = squares - 2 * block @ points.T
        far[own, start + own] = np.inf
        found = np.argpartition(far, count - 1, axis=1)[:, :count]
        exact = np.linalg.norm(points[found] - block[:, None], axis=-1)
        order = np.lexsort((found, exact))
        rows[start : start + size] = np.take_along_axis(found, order, axis=1)
        distances[start : start + size] = np.take_along_axis(exact, order, axis=1)
    return rows, distances
