"""Sequences of differing length in one flat array, and their padding."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.structs import Modality

_CHUNK = 4096  # rows that are copied together


class Ragged(NamedTuple):
    """Sequences of N rows.

    Attributes:
      values: (S, D) steps of all rows.
      starts: (N,) position of each row's first step.
      lengths: (N,) number of each row's steps; 0 where the row lacks the modality.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


def dense(values: np.ndarray, lengths: np.ndarray) -> Ragged:
    """Returns sequences that follow one another in `values`."""
    lengths = np.asarray(lengths, np.int64)
    return Ragged(values, np.cumsum(lengths) - lengths, lengths)


def gather(
    arrays: Iterable[np.ndarray | None], where: Callable[[int], str], features: int | None
) -> Ragged:
    """Joins arrays, one per row.

    Args:
      arrays: (T, D) numbers per row; None where the row lacks the modality. With `features`, flat
        arrays are cut into steps.
      where: From the number of a row to its name in errors.
      features: Declared width; None takes that of the first array.

    Returns:
      The sequences as float32.

    Raises:
      ValueError: If an array is not numeric, not 2-D, or of another width, naming the row.
    """
    parts, lengths, width, first = [], [], features, None
    for row, array in enumerate(arrays):
        if array is None:
            lengths.append(0)
            continue
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{where(row)}: values of type {array.dtype}, expected numbers")
        if array.ndim == 1 and features is not None:
            array = _steps(array, where(row), features)
        if array.ndim != 2:
            raise ValueError(f"{where(row)}: shape {array.shape}, {expected(features)}")
        if width is None:
            width = array.shape[1]
        if first is None:
            first = row
        if array.shape[1] != width or width == 0:
            like = f"as row {first} has" if features is None and first != row else "as declared"
            raise ValueError(
                f"{where(row)}: {array.shape[1]} features, expected {width or 'at least 1'}"
                + (f" {like}" if width else "")
            )
        lengths.append(len(array))
        with np.errstate(over="ignore"):  # what becomes infinite is counted when it is padded
            parts.append(np.asarray(array, np.float32))
    values = np.concatenate(parts) if parts else np.zeros((0, width or 0), np.float32)
    return dense(values, np.array(lengths, np.int64))


def expected(features: int | None) -> str:
    """Returns what an error says about the shape of one row's features."""
    hint = "" if features else "; for flat arrays declare 'features', the width of a step"
    return f"expected (steps, features){hint}"


def padded(
    ragged: Ragged, rows: np.ndarray, where: str, findings: Findings, steps: int | None = None
) -> Modality:
    """Pads the chosen rows; NaN and infinities become 0 and are counted.

    Args:
      ragged: The sequences of all rows.
      rows: (n,) rows to keep, in order.
      where: What findings call them.
      findings: Collects the counts of repairs.
      steps: Longest sequence wanted; further steps are cut and counted. None keeps all.

    Returns:
      Float32 values (n, T, D) and their mask.
    """
    lengths = ragged.lengths[rows]
    if steps is not None:
        findings.repaired(f"{where}: sequences longer than {steps}, cut", (lengths > steps).sum())
        lengths = np.minimum(lengths, steps)
    longest = max(1, int(lengths.max(initial=0)))
    mask = np.arange(longest) < lengths[:, None]
    values = np.zeros((len(rows), longest, ragged.values.shape[1]), np.float32)
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        here = dense(ragged.values, lengths[chunk])  # positions in the result
        shift = np.repeat(ragged.starts[rows[chunk]] - here.starts, here.lengths)
        with np.errstate(over="ignore"):
            real = ragged.values[np.arange(len(shift)) + shift].astype(np.float32)
        values[chunk][mask[chunk]] = _finite(real, where, findings)
    return Modality(values, mask)


def _finite(values: np.ndarray, where: str, findings: Findings) -> np.ndarray:
    bad = ~np.isfinite(values)
    if bad.any():
        nan = int(np.isnan(values).sum())
        findings.repaired(f"{where}: NaN set to 0", nan)
        findings.repaired(f"{where}: infinities set to 0", int(bad.sum()) - nan)
        values[bad] = 0.0
    return values


def _steps(array: np.ndarray, where: str, features: int) -> np.ndarray:
    if len(array) % features:
        raise ValueError(f"{where}: {len(array)} values, not a multiple of {features} features")
    return array.reshape(-1, features)
