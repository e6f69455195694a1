"""Bins of probabilities, shared by everything that compares them with what was observed."""

from typing import Literal, NamedTuple

import numpy as np

from lddu.metrics import checks

Binning = Literal["width", "mass"]
Average = Literal["pooled", "macro", "none"]


class Bins(NamedTuple):
    """Which of K bins each entry is in; (..., K) leads with C if each label has its own.

    Attributes:
      edges: (K + 1,) borders from 0 to 1, or (C, K + 1) if labels have borders of their own. A bin
        holds its left border; the last holds both.
      index: (N, C) places in the raveled (..., K) arrays.
      shape: The shape (..., K).
    """

    edges: np.ndarray
    index: np.ndarray
    shape: tuple[int, ...]

    def total(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums (..., K) of the (N, C) values in each bin; without values, their number."""
        values = None if values is None else np.ravel(values)
        return np.bincount(self.index.ravel(), values, np.prod(self.shape)).reshape(self.shape)


def assign(probs: np.ndarray, bins: int, per_label: bool, binning: Binning) -> Bins:
    """Puts entries into bins.

    Args:
      probs: (N, C) checked probabilities.
      bins: Number of bins.
      per_label: Bins of each label rather than of all N * C entries.
      binning: "width": all bins equally wide. "mass": as many entries in each, give or take one;
        equal probabilities stay together, so ties make bins unequal and may leave some empty.

    Raises:
      ValueError: If there is not at least one bin, or `binning` is none of the two.
    """
    checks.choice("binning", binning, ("width", "mass"))
    if bins < 1:
        raise ValueError(f"bins={bins} is not at least 1")
    columns = probs if per_label else probs.reshape(-1, 1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Comparing with the inner edges themselves, as rounding in p * bins would misplace some p.
    if binning == "width":
        index = np.searchsorted(edges[1:-1], columns, side="right")
    else:
        firsts = np.arange(1, bins) * len(columns) // bins
        edges = np.tile(edges, (columns.shape[1], 1))
        edges[:, 1:-1] = np.sort(columns, axis=0)[firsts].T
        found = [
            np.searchsorted(e[1:-1], x, "right") for e, x in zip(edges, columns.T, strict=True)
        ]
        index = np.stack(found, axis=1)
    if not per_label:
        return Bins(edges.reshape(-1), index.reshape(probs.shape), (bins,))
    labels = probs.shape[1]
    return Bins(edges, index + bins * np.arange(labels), (labels, bins))
