"""Labels given by their names."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


def encode_labels(
    samples: Sequence[str | Iterable[str] | None],
    label_names: Sequence[str],
    where: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """Turns the names of each sample's labels into a table of 0 and 1.

    Args:
      samples: The names of the labels of each sample, as a set, list or tuple, which may be empty;
        a single name; or None (or NaN, as pandas has it) where the labels are unknown.
      label_names: The names of all labels, in the order of the columns.
      where: From the number of a row to what errors call it.

    Returns:
      (N, C) float32 labels; NaN in the rows of unknown labels.

    Raises:
      ValueError: If a name is not one of `label_names`, naming its row; or if one of the arguments
        is a single text, or a name occurs twice.

    Example:
      >>> from lddu.data import encode_labels
      >>> encode_labels(["joy", {"joy", "fear"}, []], ["joy", "anger", "fear"]).tolist()
      [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    for argument, value in (("samples", samples), ("label_names", label_names)):
        if isinstance(value, str):
            raise ValueError(f"{argument}={value!r} is one text; give a list")
    column = {name: c for c, name in enumerate(label_names)}
    if len(column) < len(label_names):
        raise ValueError(f"label_names are not unique: {list(label_names)}")
    labels = np.zeros((len(samples), len(column)), np.float32)
    for row, names in enumerate(samples):
        if is_missing(names):
            labels[row] = np.nan
            continue
        if not isinstance(names, str | Iterable):
            raise ValueError(f"{where(row)}: {names!r} is not a list of label names")
        for name in [names] if isinstance(names, str) else names:
            if not isinstance(name, str) or name not in column:
                raise ValueError(
                    f"{where(row)}: unknown label {name!r:.80}; known are {', '.join(label_names)}"
                )
            labels[row, column[name]] = 1.0
    return labels


def is_missing(value: Any) -> bool:
    """Returns whether a value stands for one that is missing: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def holds_names(samples: Any) -> bool:
    """Returns whether labels are given by name: some sample has one, or none has any label."""
    if isinstance(samples, np.ndarray) and samples.dtype.kind not in "OU":
        return False
    if not isinstance(samples, Sequence | np.ndarray):
        return False
    nothing = True
    for names in samples:
        if isinstance(names, str | set | frozenset):
            return True
        if isinstance(names, list | tuple | np.ndarray):
            if any(isinstance(name, str) for name in names):
                return True
            nothing = nothing and len(names) == 0
        else:
            nothing = nothing and is_missing(names)
    return nothing and len(samples) > 0
