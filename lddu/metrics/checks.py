"""Input checks shared by metrics and calibrators: every message names the argument and the cure."""

from typing import Any, NamedTuple, get_args

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


class NothingKnown(ValueError):
    """Raised where there is nothing to score: nothing known in a row of weight above 0."""


class UnknownLabelWarning(UserWarning):
    """Too little is known of a label, so that nothing is learned, fitted or scored for it."""


class Entries(NamedTuple):
    """Checked entries, C per row, for a metric to score.

    Attributes:
      values: (N, C) float64 probabilities, or decisions as 0 and 1.
      labels: (N, C) float64 labels in [0, 1], hard or soft; 0 where unknown.
      weights: (N, C) weight of each entry: its row's, or 0 where its label is unknown.
    """

    values: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(N, C) weights of a label's presence: of a soft label, its share of the weight."""
        return self.weights * self.labels

    @property
    def absent(self) -> np.ndarray:
        """(N, C) weights of a label's absence."""
        return self.weights * (1 - self.labels)


def entries_of_probs(
    probs: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Entries:
    """Returns the checked entries of probabilities (N, C), labels (N, C) and row weights (N,).

    Raises:
      ValueError: If shapes differ, values are out of range, probabilities are NaN, or no label is
        known (`NothingKnown`).
    """
    same_shape(probs=probs, labels=labels)
    return Entries(
        np.ascontiguousarray(unit_interval("probs", probs)), *_known_labels(labels, weights)
    )


def entries_of_decisions(
    decisions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Entries:
    """Returns the checked entries of decisions (N, C), labels (N, C) and row weights (N,).

    Raises:
      ValueError: If shapes differ, values are out of range, decisions are neither 0 nor 1, or no
        label is known (`NothingKnown`).
    """
    same_shape(decisions=decisions, labels=labels)
    return Entries(binary("decisions", decisions).astype(float), *_known_labels(labels, weights))


def known(
    name: str, values: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `known_entries` of values (N, C) or (N,), some of which have a weight above 0.

    Raises:
      ValueError: As `row_weights`, or if none has (`NothingKnown`).
    """
    values, entry_weights = known_entries(values, weights)
    if not entry_weights.any():
        rows = "" if weights is None else " in a row of weight > 0"
        raise NothingKnown(f"{name} {values.shape} holds nothing that is known{rows}: all are NaN")
    return values, entry_weights


def _known_labels(labels: ArrayLike, weights: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    values, entry_weights = known("labels", labels, weights)
    return unit_interval("labels", values), entry_weights


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
      labels: (N, C) or (N,) labels; NaN marks those that nobody knows.
      weights: (N,) weights of the rows; None weights all equally.

    Returns:
      Float64 labels with 0 in place of NaN, and weights of the same shape: the row's, 0 if unknown.

    Raises:
      ValueError: As `row_weights`.
    """
    labels = np.asarray(labels, np.float64)
    known = ~np.isnan(labels)
    # In C order, so that sums round alike whatever the layout of the labels.
    values = np.ascontiguousarray(np.where(known, labels, 0.0))
    rows = row_weights(weights, len(labels)).reshape(-1, *[1] * (labels.ndim - 1))
    return values, np.ascontiguousarray(known * rows)


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
