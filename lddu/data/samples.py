"""Sequences and labels in the forms that people have, as lists of arrays and a table."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lddu.data.encoding import encode_labels, holds_names, is_missing
from lddu.features.steps import shorten
from lddu.metrics import checks
from lddu.names import positions
from lddu.names.frames import Names, library, read

TooLong = Literal["error", "cut", "pool"]
Vectors = Literal["error", "step"]


def read_samples(
    sequences: Mapping[str, Any], labels: Any, label_names: Sequence[str] | None, vectors: Vectors
) -> tuple[dict[str, list[np.ndarray | None]], np.ndarray | None, tuple[str, ...] | None]:
    """Reads the arguments of `from_sequences`.

    Returns:
      name -> one (T, D) array per sample or None; (N, C) float32 labels or None; and the names of
      the labels or None.

    Raises:
      ValueError: If a sample is not a sequence of numbers, or names contradict each other.
    """
    checks.choice("vectors", vectors, Vectors)
    rows: tuple[str, Names] | None = None
    read_sequences = {}
    for name, samples in sequences.items():
        what = f"modality {name!r}"
        samples, names = _listed(what, samples)
        rows, where = _matched(rows, what, names)
        samples = samples if where is None else [samples[i] for i in where]
        read_sequences[name] = [_steps(what, i, x, vectors) for i, x in enumerate(samples)]
    if labels is None:
        return read_sequences, None, None if label_names is None else tuple(label_names)
    table, row_names, label_names = _table(labels, label_names)
    _, where = _matched(rows, "labels", row_names)
    return read_sequences, table if where is None else table[where], label_names


def within(array: np.ndarray, length: int, too_long: TooLong) -> np.ndarray:
    """Returns a sequence (T, D) with at most `length` steps; for "error" as it is.

    Raises:
      ValueError: If `too_long` is unknown.
    """
    checks.choice("too_long", too_long, TooLong)
    if too_long == "cut":
        return array[:length]
    return shorten(array, length) if too_long == "pool" else array


def _listed(name: str, samples: Any) -> tuple[Sequence[Any], Names | None]:
    """Returns the samples, and their names where an index of pandas or xarray gives them."""
    if library(type(samples)) is None:
        return samples, None
    frame = read(name, samples, numeric=samples.ndim > 1 if hasattr(samples, "ndim") else True)
    return list(frame.values), frame.names[0]


def _matched(
    first: tuple[str, Names] | None, name: str, names: Names | None
) -> tuple[tuple[str, Names] | None, np.ndarray | None]:
    """Returns the first named rows, and where these stand among them."""
    if names is None:
        return first, None
    if first is None:
        return (name, names), None
    return first, positions("row", first[1], names, first[0], name)


def _steps(name: str, number: int, sample: Any, vectors: Vectors) -> np.ndarray | None:
    """Returns a sample as (T, D), or None if it is missing."""
    if is_missing(sample):
        return None
    try:
        array = np.asarray(sample)
        array = array if array.dtype.kind in "biuf" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: sample {number} is a {type(sample).__name__} that is not an array of numbers "
            "(steps, features)"
        ) from error
    if array.ndim != 1:
        return array
    if not array.size:
        return None
    if vectors == "step":
        return array[None]
    raise ValueError(
        f"{name}: sample {number} is a vector of shape {array.shape}, must be (steps, features); "
        "pass vectors='step' to take each vector as one step, or x[:, None] if it holds the steps "
        "of one feature"
    )


def _table(
    labels: Any, label_names: Sequence[str] | None
) -> tuple[np.ndarray, Names | None, tuple[str, ...] | None]:
    """Returns labels (N, C), the names of their rows and those of their columns."""
    if isinstance(label_names, str):
        raise ValueError(f"label_names={label_names!r} is one text; give a list of names")
    rows, given = None, None if label_names is None else tuple(label_names)
    if library(type(labels)):
        if getattr(labels, "ndim", 2) == 1:
            labels, rows = _listed("labels", labels)
        else:
            frame = read("labels", labels)
            (rows, columns), labels = frame.names, frame.values
            if given is None or columns is None:
                given = columns if given is None else given
            else:
                where = positions("label", given, columns, "label_names", "labels")
                labels = labels if where is None else labels[:, where]
    if holds_names(labels):
        if given is None:
            raise ValueError(
                "labels are given by name; pass label_names, the names of all labels in the order "
                "of the columns"
            )
        return encode_labels(labels, given), rows, given
    try:
        table = np.asarray(labels, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"labels must be numbers (samples, labels): {error}") from error
    if given is not None and table.shape[1:] != (len(given),):
        raise ValueError(
            f"labels have shape {table.shape}, expected (samples, {len(given)}) for {list(given)}"
        )
    return table, rows, given
