"""From the padded arrays that people publish to values with true lengths: chunk by chunk."""

from collections.abc import Sequence

import numpy as np

from lddu.data.cache import Allocate, in_memory
from lddu.data.card import Findings
from lddu.structs import Modality

_CHUNK = 256  # rows held in memory at once
# A front-padded array has its zeros before the real steps.
PADDED = ("end", "start")


def clean(
    values: np.ndarray | Sequence[np.ndarray],
    where: str,
    findings: Findings,
    *,
    lengths: np.ndarray | None = None,
    padded: str = "end",
    rows: np.ndarray | None = None,
    steps: int | None = None,
    allocate: Allocate = in_memory,
    name: str = "values",
) -> Modality:
    """Repairs features and recovers how long each sequence really is.

    NaN and infinities become 0 (what the published baselines do with the -inf of COVAREP) and are
    counted. Where no lengths are declared, rows of zeros at the padded side are padding; rows of
    zeros between others are real. Real steps come first afterwards, zeros behind them.

    Args:
      values: (N, T, D) numbers, or N arrays of (T_i, D); may be memory-mapped, and is read in
        chunks.
      where: What to call it in errors and findings: file, split and key.
      findings: Takes the counts.
      lengths: (N,) declared lengths, where the source has them; 0 is a missing sequence, and so
        is one of zeros only, whatever its length. With padding at the start, these are the last
        steps.
      padded: At which side the source has its padding, "end" or "start".
      rows: Numbers of the rows to keep, in their new order; all of them if None.
      steps: Longest sequence wanted; what is behind it is cut and counted. None keeps all.
      allocate: Makes the large array.
      name: What to call it there.

    Returns:
      A `Modality` of float32 values.

    Raises:
      ValueError: If the values are no numbers, or shapes differ or do not fit `lengths`.
    """
    if padded not in PADDED:
        raise ValueError(f"padded={padded!r}, expected one of {PADDED}")
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
    """Width, and the longest sequence."""
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
        raise ValueError(f"{where} is no array: {error}") from error


def _number(values: np.ndarray, where: str) -> None:
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{where}: values of type {values.dtype}, expected numbers")


def _declared(lengths: np.ndarray, count: int, where: str) -> np.ndarray:
    lengths = np.asarray(lengths)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iuf":
        raise ValueError(
            f"{where}: lengths are {lengths.dtype} {lengths.shape}, expected ({count},) numbers"
        )
    whole = np.asarray(lengths, np.float64)
    if not (np.isfinite(whole) & (whole >= 0) & (whole == np.rint(whole))).all():
        raise ValueError(f"{where}: lengths hold what is no whole number >= 0")
    # A float beyond int64 would come out negative.
    return np.minimum(whole, 1 << 62).astype(np.int64)


def _read(
    values: np.ndarray | Sequence[np.ndarray],
    rows: np.ndarray,
    longest: int,
    width: int,
    where: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The chosen rows as (n, T, D) float32, and how many steps each has in the source."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        first, last = rows.min(), rows.max() + 1
        # Neighbouring rows as one slice: a gather from an unaligned map reads element by element.
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
    with np.errstate(over="ignore"):  # what becomes infinite is counted by `_finite`
        return np.array(values, np.float32)


def _finite(chunk: np.ndarray, where: str, findings: Findings) -> None:
    bad = ~np.isfinite(chunk)
    if not bad.any():
        return
    findings.repaired(f"{where}: -inf set to 0", np.count_nonzero(chunk == -np.inf))
    findings.repaired(f"{where}: +inf set to 0", np.count_nonzero(chunk == np.inf))
    findings.repaired(f"{where}: NaN set to 0", np.count_nonzero(np.isnan(chunk)))
    chunk[bad] = 0.0


def _last(filled: np.ndarray) -> np.ndarray:
    """(n,) number of steps up to the last filled one."""
    steps = np.arange(1, filled.shape[1] + 1)
    return np.where(filled, steps, 0).max(1)


def _to_front(chunk: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Moves what stands from step `first` on to the start; what comes behind it is arbitrary."""
    steps = chunk.shape[1]
    index = np.minimum(np.arange(steps) + first[:, None], steps - 1)
    return np.take_along_axis(chunk, index[..., None], axis=1)
