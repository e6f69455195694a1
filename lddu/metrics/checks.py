"""Input checks shared by metrics and calibrators: every message names the argument and the cure."""

from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike


def same_shape(ndim: int = 2, **arrays: ArrayLike) -> None:
    """Raises unless arrays are not empty and have one shape.

    Looks at shapes only, and so works under `jax.jit`.

    Args:
      ndim: Number of axes: 2 for (samples, labels), 1 for (entries,).
      **arrays: The arguments under their names.

    Raises:
      ValueError: If an array has another number of axes or no entries, or shapes differ.
    """
    wanted = "(samples, labels)" if ndim == 2 else "(entries,)"
    hint = "; for one label pass a single column, x[:, None]" if ndim == 2 else "; use x.ravel()"
    shapes = {name: np.shape(values) for name, values in arrays.items()}
    for name, shape in shapes.items():
        if len(shape) != ndim:
            raise ValueError(f"{name} has shape {shape}, must be {wanted}{hint}")
        if 0 in shape:
            raise ValueError(f"{name} has shape {shape}: empty; give at least one entry per axis")
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"shapes differ: {listed}; pass one row per sample, in the same order")


def finite(name: str, values: ArrayLike) -> np.ndarray:
    """Returns the values as float64.

    Raises:
      ValueError: If any value is NaN or infinite.
    """
    values = np.asarray(values, np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise ValueError(
            f"{name} {values.shape} holds {bad} NaN or infinite values; drop or fill them first"
        )
    return values


def unit_interval(name: str, values: ArrayLike) -> np.ndarray:
    """Returns the values as float64.

    Raises:
      ValueError: If any value is NaN, infinite or outside [0, 1].
    """
    values = finite(name, values)
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"{name} {values.shape} must lie in [0, 1] but ranges over [{low:.4g}, {high:.4g}]; "
            "turn logits into probabilities with a sigmoid first"
        )
    return values


def binary(name: str, values: ArrayLike) -> np.ndarray:
    """Returns the values as bool.

    Raises:
      ValueError: If any value is neither 0 nor 1.
    """
    values = finite(name, values)
    soft = (values != 0) & (values != 1)
    if soft.any():
        cure = "lddu.metrics.threshold" if name == "decisions" else f"{name} >= 0.5"
        raise ValueError(
            f"{name} {values.shape} must be 0 or 1 but holds {values[soft][0]:.4g}; "
            f"binarise first, for instance with {cure}"
        )
    return values.astype(bool)


def probs_and_labels(
    probs: ArrayLike, labels: ArrayLike, soft: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns checked (N, C) probabilities and labels: float64 labels if `soft`, else bool.

    Raises:
      ValueError: If shapes differ, or values are NaN, out of range or (unless `soft`) soft labels.
    """
    same_shape(probs=probs, labels=labels)
    check = unit_interval if soft else binary
    return unit_interval("probs", probs), check("labels", labels)


def decisions_and_labels(decisions: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns checked (N, C) bool decisions and labels.

    Raises:
      ValueError: If shapes differ or values are neither 0 nor 1.
    """
    same_shape(decisions=decisions, labels=labels)
    return binary("decisions", decisions), binary("labels", labels)


def row_weights(weights: ArrayLike | None, rows: int) -> np.ndarray:
    """Returns the weight of each row as (N,) float64, 1 where no weights are given.

    Raises:
      ValueError: If there is not one weight per row, or weights are not finite, negative or all 0.
    """
    if weights is None:
        return np.ones(rows)
    if np.shape(weights) != (rows,):
        raise ValueError(
            f"weights has shape {np.shape(weights)}, must be one weight per row, ({rows},)"
        )
    weights = finite("weights", weights)
    if weights.min() < 0 or weights.max() == 0:
        raise ValueError(
            f"weights {weights.shape} ranges over [{weights.min():.4g}, {weights.max():.4g}], must "
            "be >= 0 and not all 0"
        )
    return weights


def known_entries(
    labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Splits labels, NaN where unknown, into values and the weights of entries.

    Args:
      labels: (N, C) labels; NaN marks those that nobody knows.
      weights: (N,) weights of the rows; None weights all equally.

    Returns:
      (N, C) float64 labels with 0 in place of NaN, and (N, C) weights: the row's, 0 if unknown.

    Raises:
      ValueError: As `row_weights`.
    """
    labels = np.asarray(labels, np.float64)
    known = ~np.isnan(labels)
    return np.where(known, labels, 0.0), known * row_weights(weights, len(labels))[:, None]


def groups(values: ArrayLike | None, rows: int) -> np.ndarray:
    """Returns the group of each row as (N,) numbers from 0 on; each row its own without groups.

    Raises:
      ValueError: If there is not one group per row, or a group is NaN.
    """
    if values is None:
        return np.arange(rows)
    values = np.asarray(values)
    if values.shape != (rows,):
        raise ValueError(f"groups has shape {values.shape}, must be one group per row, ({rows},)")
    if np.any(values != values):
        raise ValueError("groups holds NaN; give such rows a group of their own")
    return np.unique(values, return_inverse=True)[1]


def units(groups_of_rows: ArrayLike | None, rows: int, purpose: str) -> np.ndarray:
    """Returns `groups` of rows that are two units at least, for a `purpose` such as "a bootstrap".

    Raises:
      ValueError: As `groups`, or if there are fewer than two rows or groups.
    """
    unit = groups(groups_of_rows, rows)
    count = int(unit.max(initial=-1)) + 1
    if count < 2:
        kind = "row" if groups_of_rows is None else "group"
        raise ValueError(f"{count} {kind} of {rows} rows: {purpose} needs at least two {kind}s")
    return unit


def choice(name: str, value: Any, literal: Any) -> None:
    """Raises unless the value is one of the options of a `Literal`.

    Raises:
      ValueError: If it is not.
    """
    choices = get_args(literal)
    if value not in choices:
        raise ValueError(f"{name}={value!r}; choose one of {', '.join(map(repr, choices))}")


def at_least_one(name: str, value: int) -> None:
    """Raises unless a number of things is at least 1.

    Raises:
      ValueError: If it is not.
    """
    if not value >= 1:
        raise ValueError(f"{name}={value} must be at least 1")


def fraction(name: str, value: float) -> None:
    """Raises unless a number lies strictly between 0 and 1.

    Raises:
      ValueError: If it does not.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name}={value} must lie strictly between 0 and 1")
