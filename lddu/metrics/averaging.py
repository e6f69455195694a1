"""Means over labels, which leave out labels without a value and warn that they do."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from lddu import callers
from lddu.metrics import checks

NOTHING_KNOWN = "no known label"
ONE_CLASS = "not both classes among the known labels"

_silent: ContextVar[bool] = ContextVar("silent", default=False)


def defined(values: np.ndarray, why: str = NOTHING_KNOWN) -> np.ndarray:
    """Returns which labels have a value, and warns of those that have none.

    Args:
      values: (C,) values, NaN where undefined.
      why: What those labels lack.

    Returns:
      (C,) bool.

    Warns:
      UnknownLabelWarning: If a label has none.
    """
    kept = ~np.isnan(values)
    warn({why: ~kept})
    return kept


def over_labels(values: np.ndarray, average: str, why: str = NOTHING_KNOWN) -> float | np.ndarray:
    """Returns values averaged over labels.

    Args:
      values: (C,) values of labels, NaN where undefined, or () if labels were pooled.
      average: "none" returns them as they are; anything else a float, the mean of the defined.
      why: What undefined labels lack.
    """
    if average == "none":
        return values
    if values.ndim:
        kept = defined(values, why)
        values = np.mean(values[kept]) if kept.any() else np.nan
    return float(values)


def warn(left_out: Mapping[str, np.ndarray]) -> None:
    """Warns once, unless `silent`, that macro means leave out labels (C,), by what they lack.

    Warns:
      UnknownLabelWarning: With the columns of the labels, under what they lack.
    """
    reasons = [
        f"{', '.join(map(str, np.flatnonzero(labels)))}: {why}"
        for why, labels in left_out.items()
        if labels.any()
    ]
    if reasons and not _silent.get():
        message = f"macro means leave out label columns ({'; '.join(reasons)})"
        warnings.warn(message, checks.UnknownLabelWarning, stacklevel=callers.level())


@contextmanager
def silent() -> Iterator[None]:
    """Silences these warnings, where many scores of the same labels are computed."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)
