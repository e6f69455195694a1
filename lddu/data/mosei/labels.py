"""The six emotions, and their labels: lists of codes, or mean intensities of three raters."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lddu.data.card import Findings

LABELS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_BEGIN, _END, _FIRST = 2, 3, 4
_PADDING = 0
_TOP = 3.0  # the raters' highest level
_ROUNDING = 0.01  # above it


def from_codes(targets: Any, where: str, findings: Findings) -> np.ndarray:
    """Reads labels from lists [2, codes..., 3], in which code 4 + k names label k.

    Args:
      targets: N such lists or rows of numbers; zeros behind the 3 are padding.
      where: File, split and key, which errors and findings name.
      findings: Collects the number of labels that are named twice.

    Returns:
      (N, 6) zeros and ones.

    Raises:
      ValueError: If a row is not such a list, naming it.
    """
    if not isinstance(targets, (list, tuple)) and np.ndim(targets) not in (1, 2):
        raise ValueError(f"{where}: a {type(targets).__name__}, expected one list of codes a row")
    labels = np.zeros((len(targets), len(LABELS)))
    twice = 0
    for i, row in enumerate(targets):
        codes = _codes(row, f"{where}, row {i}")
        labels[i, codes] = 1
        twice += len(codes) - len(set(codes))
    findings.repaired(f"{where}: labels named twice in a row, taken once", twice)
    return labels


def _codes(row: Any, where: str) -> list[int]:
    try:
        numbers = np.asarray(row)
        ok = numbers.ndim == 1 and numbers.dtype.kind in "iuf"
        numbers = numbers.tolist() if ok else None
    except ValueError:
        numbers = None
    if numbers is None or _END not in numbers:
        raise ValueError(f"{where}: {row!r:.80}, expected [2, codes..., 3]")
    end = numbers.index(_END)
    codes, behind = numbers[1:end], numbers[end + 1 :]
    known = range(_FIRST, _FIRST + len(LABELS))
    if numbers[0] != _BEGIN or any(n != _PADDING for n in behind):
        raise ValueError(f"{where}: {row!r:.80}, expected [2, codes..., 3]")
    if any(code not in known for code in codes):
        raise ValueError(f"{where}: {row!r:.80}, expected codes {known.start} to {known.stop - 1}")
    return [int(code) - _FIRST for code in codes]


def intensities(
    values: np.ndarray, name: Callable[[int], str], where: str, findings: Findings
) -> np.ndarray:
    """Checks mean intensities of three raters and clamps them to 3.

    Args:
      values: (N, 6) mean intensities.
      name: From a row number to the name of that row in errors.
      where: File and split, which errors and findings name.
      findings: Collects how many were clamped.

    Returns:
      (N, 6) float64 in [0, 3].

    Raises:
      ValueError: If one is negative or NaN, naming its row.
    """
    values = np.asarray(values, np.float64)
    bad = ~(values >= 0)
    if bad.any():
        row, label = np.argwhere(bad)[0]
        raise ValueError(
            f"{where}: {name(int(row))} has intensity {values[row, label]} of {LABELS[label]!r}, "
            f"expected 0 to {_TOP:g}; {bad.sum()} values are negative or NaN"
        )
    above = values > _TOP
    findings.repaired(f"{where}: intensities above 3, set to 3", above.sum())
    if (values > _TOP + _ROUNDING).any():
        findings.warn(
            f"{where}: an intensity is {values.max():g}, more than 3 by more than a rounding"
        )
    return np.minimum(values, _TOP)


def soft(values: np.ndarray) -> np.ndarray:
    """Returns (N, 6) intensities as float32 shares of the raters' highest level, in [0, 1]."""
    return (values / _TOP).astype(np.float32)


def hard(values: np.ndarray) -> np.ndarray:
    """Returns (N, 6) float32 zeros and ones: an emotion is present if its intensity is above 0."""
    return (values > 0).astype(np.float32)
