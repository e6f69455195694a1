"""From padded arrays as they are published to finite values with true lengths, in chunks."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from lddu.data.cache import Allocate, in_memory
from lddu.data.card import Findings
from lddu.structs import Modality

_CHUNK = 256  # rows held in memory at once
Side = Literal["end", "start"]
"""Where a sequence has its padding: behind its real steps, or before them."""


def clean(
    values: np.ndarray | Sequence[np.ndarray],
    where: str,
    findings: Findings,
    *,
    lengths: np.ndarray | None = None,
    padded: Side = "end",
    rows: np.ndarray | None = None,
    steps: int | None = None,
    allocate: Allocate = in_memory,
    name: str = "values",
) -> Modality:
    """Repairs features and recovers how long each sequence really is.

    NaN and infinities become 0 (as the published baselines treat the -inf of COVAREP) and are
    counted. If no lengths are declared, rows of zeros at the padded side are padding; rows of zeros
    between others are real. In the result real steps come first, and zeros behind them.

    Args:
      values: (N, T, D) numbers, or N arrays of (T_i, D); may be memory-mapped, and is read in
        chunks.
      where: File, split and key, which errors and findings name.
      findings: Collects the counts of repairs.
      lengths: (N,) declared lengths, or None if the source has none. A sequence of length 0 is
        missing, and so is one of zeros only, whatever its length. With padding at the start, a
        length counts the last steps.
      padded: Side at which the source has its padding, "end" or "start".
      rows: (n,) numbers of the rows to keep, in their new order; None keeps all.
      steps: Longest sequence wanted; further steps are cut and counted. None keeps all.
      allocate: Makes the large array.
      name: Name of the array for `allocate`.

    Returns:
      A `Modality` of n sequences with float32 values.

    Raises:
      ValueError: If the values are not numeric, or shapes differ or do not fit `lengths`.
    """
    if padded not in get_args(Side):
        raise ValueError(f"padded={padded!r}, expected one of {get_args(Side)}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps={steps}, expected at least 1, or None for all")
    width, longest = _shape(values, where)
    count = len(values) if rows is None else len(rows)
    rows = np.arange(len(values)) if rows is None else rows
    if lengths is not None:
        lengths = _declared(lengths, len(values), where)
    steps = longest if steps is None else min(steps, longest)
    out = allocate(name, (count, steps, width))
    true = np.zeros(count, np.int64)
    for start in range(0, count, _CHUNK):
        chosen = rows[start : start + _CHUNK]
        chunk, ends = _read(values, chosen, longest, width, where)
        _finite(chunk, where, findings)
        filled = (chunk != 0).any(-1) & (np.arange(longest) < ends[:, None])
        if padded == "start":
            first = np.where(filled.any(1), filled.argmax(1), ends)
            extent = ends - first
        else:
            extent = _last(filled)
        true_length = extent
        if lengths is not None:
            true_length = np.minimum(lengths[chosen], ends)
            findings.repaired(
                f"{where}: declared lengths beyond the array, cut to it",
                np.count_nonzero(lengths[chosen] > ends),
            )
            findings.repaired(
                f"{where}: sequences with values behind their length, cut",
                (extent > true_length).sum(),
            )
            nothing = ~filled.any(1)
            findings.repaired(
                f"{where}: declared sequences of zeros only, taken as missing",
                (nothing & (true_length > 0)).sum(),
            )
            true_length = np.where(nothing, 0, true_length)
        if padded == "start":
            chunk = _to_front(chunk, ends - true_length)
        ends = true_length
        findings.repaired(f"{where}: sequences longer than {steps}, cut", (ends > steps).sum())
        ends = np.minimum(ends, steps)
        mask = np.arange(steps) < ends[:, None]
        out[start : start + len(chosen)] = np.where(mask[..., None], chunk[:, :steps], 0.0)
        true[start : start + len(chosen)] = ends
    return Modality(out, np.arange(steps) < true[:, None])


def _shape(values: np.ndarray | Sequence[np.ndarray], where: str) -> tuple[int, int]:
    """Returns the width, and the length of the longest sequence."""
    if not isinstance(values, np.ndarray | list | tuple):
        raise ValueError(f"{where}: a {type(values).__name__}, expected an array or a list of them")
    if isinstance(values, np.ndarray) and (values.dtype != object or values.ndim == 0):
        if values.ndim != 3 or 0 in values.shape:
            raise ValueError(f"{where}: shape {values.shape}, expected (samples, steps, features)")
        _number(values, where)
        return values.shape[2], values.shape[1]
    if not len(values):
        raise ValueError(f"{where}: no samples")
    shapes = [_row_shape(row, f"{where}: row {i}") for i, row in enumerate(values)]
    for i, shape in enumerate(shapes):
        if len(shape) != 2 or shape[1] != shapes[0][1] or shape[1] == 0:
            raise ValueError(
                f"{where}: row {i} has shape {shape}, expected (steps, features) with as many "
                f"features as row 0, {shapes[0]}"
            )
    return shapes[0][1], max(1, max(shape[0] for shape in shapes))


def _row_shape(row: np.ndarray, where: str) -> tuple[int, ...]:
    try:
        return np.shape(row)
    except (ValueError, TypeError) as error:  # lists of differing lengths
        raise ValueError(f"{where} is not an array: {error}") from error


def _number(values: np.ndarray, where: str) -> None:
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{where}: values of type {values.dtype}, expected numbers")


def _declared(lengths: np.ndarray, count: int, where: str) -> np.ndarray:
    lengths = np.asarray(lengths)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iuf":
        raise ValueError(
            f"{where}: lengths are {lengths.dtype} {lengths.shape}, expected ({count},) numbers"
        )
    numbers = np.asarray(lengths, np.float64)
    bad = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.rint(numbers)))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{where}: lengths must be non-negative integers, got {numbers[row]:g} in row {row}"
        )
    # A float beyond int64 would come out negative.
    return np.minimum(numbers, 1 << 62).astype(np.int64)


def _read(
    values: np.ndarray | Sequence[np.ndarray],
    rows: np.ndarray,
    longest: int,
    width: int,
    where: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the chosen rows as (n, T, D) float32, and how many steps each has in the source."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        first, last = rows.min(), rows.max() + 1
        # Neighbouring rows come as one slice, since gathers from unaligned maps are slow.
        dense = last - first == len(rows) and (np.diff(rows) == 1).all()
        chunk = values[first:last] if dense else values[rows]
        return _to_float32(chunk), np.full(len(rows), longest)
    chunk, ends = np.zeros((len(rows), longest, width), np.float32), np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        array = np.asarray(values[row])
        _number(array, f"{where}, row {row}")
        chunk[i, : len(array)] = _to_float32(array)
        ends[i] = len(array)
    return chunk, ends


def _to_float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # `_finite` counts the values that become infinite
        return np.array(values, np.float32)


def _finite(chunk: np.ndarray, where: str, findings: Findings) -> None:
    """Sets what is not finite to 0, in place, and counts it."""
    bad = ~np.isfinite(chunk)
    if not bad.any():
        return
    findings.repaired(f"{where}: -inf set to 0", np.count_nonzero(chunk == -np.inf))
    findings.repaired(f"{where}: +inf set to 0", np.count_nonzero(chunk == np.inf))
    findings.repaired(f"{where}: NaN set to 0", np.count_nonzero(np.isnan(chunk)))
    chunk[bad] = 0.0


def _last(filled: np.ndarray) -> np.ndarray:
    """Returns (n,) numbers of steps up to the last filled one."""
    steps = np.arange(1, filled.shape[1] + 1)
    return np.where(filled, steps, 0).max(1)


def _to_front(chunk: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Moves the steps from `first` on to the start; the steps behind them are arbitrary."""
    steps = chunk.shape[1]
    index = np.minimum(np.arange(steps) + first[:, None], steps - 1)
    return np.take_along_axis(chunk, index[..., None], axis=1)
