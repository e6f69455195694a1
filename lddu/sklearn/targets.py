"""Labels, weights and groups of rows as scikit-learn passes them."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target


class Target(NamedTuple):
    """What `fit` knows of its rows apart from their features.

    Attributes:
      y: (N,) or (N, C) labels as they were given, to pass on to another estimator.
      labels: (N, C) float64 labels in {0, 1}; NaN where unknown.
      weight: (N,) weights of the rows, or None.
      groups: (N,) groups of the rows, or None.
      classes: The two classes of a binary y, or the positions of the C labels.
      names: Names of the C labels.
      binary: Whether y is one label as a vector of classes, rather than a column per label.
    """

    y: np.ndarray
    labels: np.ndarray
    weight: np.ndarray | None
    groups: np.ndarray | None
    classes: np.ndarray
    names: tuple[str, ...]
    binary: bool

    def take(self, rows: np.ndarray) -> "Target":
        """Returns the target of the chosen rows."""
        per_row = ("y", "labels", "weight", "groups")
        values = {name: getattr(self, name) for name in per_row}
        return self._replace(**{k: v if v is None else v[rows] for k, v in values.items()})


def read_target(
    X: Any, y: Any, sample_weight: Any = None, groups: Any = None
) -> tuple[Target, np.ndarray]:
    """Reads and checks the labels, weights and groups of a multi-label or binary task.

    Args:
      X: N samples, to count them.
      y: (N, C) labels in {0, 1}, NaN where unknown; or (N,) classes, of which there are two. The
        columns of a data frame name the labels.
      sample_weight: (N,) weights, zero or more, or None.
      groups: (N,) groups, or None.

    Returns:
      The `Target` of the rows whose weight is not zero, and their positions.

    Raises:
      ValueError: If numbers of rows differ, weights are negative or all zero, y has values other
        than 0, 1 and NaN in a matrix, or has not two classes as a vector.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    names = getattr(y, "columns", None)
    y = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite="allow-nan", input_name="y")
    check_consistent_length(X, y)
    weight, groups = _read_weight(sample_weight, len(y)), _read_groups(groups, len(y))
    rows = np.arange(len(y)) if weight is None else np.flatnonzero(weight)
    read = _matrix if y.ndim == 2 and y.shape[1] > 1 else _classes
    y, labels, classes, default = read(y, rows)
    names = default if names is None else tuple(map(str, names))
    return Target(y, labels, weight, groups, classes, names, y.ndim == 1).take(rows), rows


def _matrix(y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns y, its labels, the positions of its columns, and names for them."""
    if y.dtype.kind not in "biuf":
        raise ValueError(
            f"Unknown label type: a matrix y of {y.dtype}; each column must hold 0, 1 or NaN"
        )
    labels = y.astype(np.float64)
    other = labels[~np.isnan(labels) & (labels != 0) & (labels != 1)]
    if other.size:
        raise ValueError(
            f"Unknown label type: a matrix y {y.shape} with the value {other[0]:.4g}; each column "
            "must hold 0, 1 or NaN"
        )
    positions = np.arange(y.shape[1])
    return y, labels, positions, tuple(f"label{i}" for i in positions)


def _classes(y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns y as a vector, one column of labels, the two classes, and the name of the second."""
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind != "binary":
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}."
        )
    classes = np.unique(y[rows])
    if len(classes) < 2:
        raise ValueError(
            f"y has 1 class, {classes[0]!r}, in rows that count; a vector needs two (labels that "
            "are all alike may be a column of a matrix)"
        )
    return y, (y == classes[1])[:, None].astype(np.float64), classes, (str(classes[1]),)


def _read_weight(sample_weight: Any, rows: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.shape != (rows,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, must be one weight per row, ({rows},)"
        )
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError(
            f"sample_weight ranges over [{weight.min():.4g}, {weight.max():.4g}]: weights must be "
            "zero or more, and not all of them zero"
        )
    return weight


def _read_groups(groups: Any, rows: int) -> np.ndarray | None:
    if groups is None:
        return None
    groups = np.asarray(groups)
    if groups.shape != (rows,):
        raise ValueError(f"groups has shape {groups.shape}, must be one group per row, ({rows},)")
    return groups
