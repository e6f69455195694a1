"""The calibration data of conformal fits: known labels, independent units and their weights."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration import inputs
from lddu.metrics import checks


class Sample(NamedTuple):
    """Rows with a weight above 0 and a known label.

    Attributes:
      probs: (N, C) float64 probabilities.
      labels: (N, C) bool, whether a label is known and true.
      known: (N, C) bool, whether it is known.
      unit: (N,) group of each row, a number counted from 0; without groups, the row itself.
      weight: (N,) weights, > 0; rows of one group have the same.
    """

    probs: np.ndarray
    labels: np.ndarray
    known: np.ndarray
    unit: np.ndarray
    weight: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Sample":
        """Returns the chosen rows, with their groups counted from 0 again."""
        part = Sample(*(x[chosen] for x in self))
        return part._replace(unit=np.unique(part.unit, return_inverse=True)[1])

    def label(self, c: int) -> "Sample":
        """Returns the rows in which label c is known, with this label alone."""
        part = self.rows(self.known[:, c])
        columns = (x[:, [c]] for x in (part.probs, part.labels, part.known))
        return Sample(*columns, part.unit, part.weight)


def read(
    probs: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None,
    weights: ArrayLike | None,
    per_label: bool,
    **shares: float,
) -> Sample:
    """Checks the data of a fit and leaves out rows that do not count.

    Args:
      probs: (N, C) probabilities.
      labels: (N, C) labels in {0, 1}; NaN where unknown.
      groups: (N,) group of each row, or None.
      weights: (N,) weights of the rows, >= 0; None weights all equally.
      per_label: Whether to warn of a label without a known entry.
      **shares: Arguments that must lie in (0, 1), under their names.

    Returns:
      The `Sample` of rows that have a weight and a known label.

    Raises:
      ValueError: If shapes differ, values are out of range, labels are soft, none is known or none
        is positive, or rows of one group differ in their weights.
    """
    for name, share in shares.items():
        checks.fraction(name, share)
    probs, labels, entries = inputs.scored_data(probs, labels, weights, per_label)
    labels, known = checks.binary("labels", labels), entries > 0
    unit = checks.groups(groups, len(probs))
    if not np.any(labels & known):
        raise ValueError(
            f"labels {labels.shape} has no positives, so there is nothing to control; check the "
            "labels, or calibrate on more samples"
        )
    sample = Sample(probs, labels & known, known, unit, entries.max(axis=1))
    sample = sample.rows(known.any(axis=1))
    if np.any(sample.weight != unit_weights(sample)[sample.unit]):
        raise ValueError(
            "weights differ between rows of one group: groups are what is exchangeable, so that "
            "each has one weight; give all its rows that weight, or 0 to leave a row out"
        )
    return sample


def unit_weights(sample: Sample) -> np.ndarray:
    """Returns the (U,) weight of each group."""
    return sample.weight[np.unique(sample.unit, return_index=True)[1]]


def largest_weight(value: float | None) -> None:
    """Raises unless `max_weight` is None, or finite and positive.

    Raises:
      ValueError: If it is not.
    """
    if value is not None and not 0 < value < np.inf:
        raise ValueError(f"max_weight={value} must be finite and > 0")
