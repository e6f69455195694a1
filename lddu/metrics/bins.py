"""Bins of probabilities, shared by everything that compares them with what was observed."""

from typing import Literal, NamedTuple

import numpy as np

from lddu.metrics import checks

Binning = Literal["width", "mass"]
Average = Literal["pooled", "macro", "none"]


class Bins(NamedTuple):
    """The bin of each entry, for K bins, or K bins per label.

    Attributes:
      edges: (K + 1,) borders from 0 to 1, or (C, K + 1) if labels have borders of their own. A bin
        includes its left border; the last includes both.
      index: (N, C) position of each entry's bin in a raveled array of shape `shape`.
      shape: (K,), or (C, K) with bins per label.
    """

    edges: np.ndarray
    index: np.ndarray
    shape: tuple[int, ...]

    def total(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums (N, C) values within each bin, or counts the entries if there are no values."""
        values = None if values is None else np.ravel(values)
        return np.bincount(self.index.ravel(), values, np.prod(self.shape)).reshape(self.shape)


class Cells(NamedTuple):
    """Sums over the entries that a unit (a row, or a group of rows) has in one bin.

    Attributes:
      unit: (M,) unit of each of the M cells that are not empty.
      bin: (M,) position of its bin in a raveled array of the bins' shape.
      counts: (M,) number of entries.
      sums: (M,) sum of their values.
    """

    unit: np.ndarray
    bin: np.ndarray
    counts: np.ndarray
    sums: np.ndarray


def cells(bins: Bins, unit: np.ndarray, values: np.ndarray) -> Cells:
    """Sums (N, C) values by bin and by the unit (N,) of their row."""
    size = int(np.prod(bins.shape))
    code, cell, counts = np.unique(
        unit[:, None] * size + bins.index, return_inverse=True, return_counts=True
    )
    return Cells(code // size, code % size, counts, np.bincount(cell.ravel(), np.ravel(values)))


def assign(probs: np.ndarray, bins: int, per_label: bool, binning: Binning) -> Bins:
    """Puts entries into bins.

    Args:
      probs: (N, C) checked probabilities.
      bins: Number of bins, at least 1.
      per_label: Whether each label gets bins of its own; otherwise all N * C entries share them.
      binning: "width" makes all bins equally wide. "mass" puts equally many entries into each, give
        or take one; equal probabilities stay together, so ties make bins unequal and may leave some
        empty.

    Returns:
      The `Bins`.

    Raises:
      ValueError: If `bins` is below 1, or `binning` is neither "width" nor "mass".
    """
    checks.choice("binning", binning, Binning)
    checks.at_least_one("bins", bins)
    columns = probs if per_label else probs.reshape(-1, 1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Entries are compared with the edges themselves: rounding in p * bins would misplace some.
    if binning == "width":
        index = np.searchsorted(edges[1:-1], columns, side="right")
    else:
        firsts = np.arange(1, bins) * len(columns) // bins
        edges = np.tile(edges, (columns.shape[1], 1))
        edges[:, 1:-1] = np.sort(columns, axis=0)[firsts].T
        places = [
            np.searchsorted(e[1:-1], x, "right") for e, x in zip(edges, columns.T, strict=True)
        ]
        index = np.stack(places, axis=1)
    if not per_label:
        return Bins(edges.reshape(-1), index.reshape(probs.shape), (bins,))
    labels = probs.shape[1]
    return Bins(edges, index + bins * np.arange(labels), (labels, bins))
