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

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums (N, C) values within each bin."""
        sums = np.bincount(self.index.ravel(), np.ravel(values), np.prod(self.shape))
        return sums.reshape(self.shape)


class Cells(NamedTuple):
    """Sums over the entries that a unit (a row, or a group of rows) has in one bin.

    Attributes:
      unit: (M,) unit of each of the M cells that are not empty.
      bin: (M,) position of its bin in a raveled array of the bins' shape.
      weights: (M,) sum of the entries' weights.
      sums: (M,) sum of their weighted values.
    """

    unit: np.ndarray
    bin: np.ndarray
    weights: np.ndarray
    sums: np.ndarray


def cells(bins: Bins, unit: np.ndarray, values: np.ndarray, weights: np.ndarray) -> Cells:
    """Sums values (N, C) of positive weight by bin and by the unit (N,) of their row."""
    size = int(np.prod(bins.shape))
    kept = weights > 0
    code, cell = np.unique((unit[:, None] * size + bins.index)[kept], return_inverse=True)
    sums = (np.bincount(cell, x[kept], code.size) for x in (weights, weights * values))
    return Cells(code // size, code % size, *sums)


def assign(
    probs: np.ndarray, weights: np.ndarray, bins: int, per_label: bool, binning: Binning
) -> Bins:
    """Puts entries into bins.

    Args:
      probs: (N, C) checked probabilities.
      weights: (N, C) checked weights of the entries.
      bins: Number of bins, at least 1.
      per_label: Whether each label gets bins of its own; otherwise all N * C entries share them.
      binning: "width" makes all bins equally wide. "mass" puts entries of equal total weight into
        each, give or take one; equal probabilities stay together, so ties make bins unequal and may
        leave some empty. Labels without any weight get equally wide bins.

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
        edges = np.tile(edges, (columns.shape[1], 1))
        weighed = weights.reshape(columns.shape)
        some = weighed.any(0)
        edges[some, 1:-1] = _quantiles(columns[:, some], weighed[:, some], bins).T
        places = [
            np.searchsorted(e[1:-1], x, "right") for e, x in zip(edges, columns.T, strict=True)
        ]
        index = np.stack(places, axis=1)
    if not per_label:
        return Bins(edges.reshape(-1), index.reshape(probs.shape), (bins,))
    labels = probs.shape[1]
    return Bins(edges, index + bins * np.arange(labels), (labels, bins))


def _quantiles(columns: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Returns (bins - 1, C) values of columns at which further shares of their weight begin."""
    order = np.argsort(columns, axis=0)
    ordered = np.take_along_axis(columns, order, axis=0)
    below = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
    total = below[-1]
    # A little more, because rounding of sums must not decide which entry begins a share.
    starts = np.arange(1, bins)[:, None] * total / bins + 1e-12 * total
    places = [np.searchsorted(b, x, side="right") for b, x in zip(below.T, starts.T, strict=True)]
    return np.take_along_axis(ordered, np.stack(places, axis=1), axis=0)
