"""What a pickle may call of NumPy: arrays, dtypes and scalars, built from checked parts.

NumPy's own versions trust their input: a forged dtype makes them read memory that is not the
array's. Each function here stands in for the original, takes what a pickler writes and refuses the
rest.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from lddu.data.formats.objects import Mapped, Name, Pending, UnsafePickleError, raw_bytes, whole

# NumPy's code for objects ends in the width of a pointer.
_SPEC = re.compile(r"[biufcSUVMm]\d*|O8?")
# The number types that NumPy itself lacks.
ML_DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in (
        *("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
        "float8_e8m0fnu",
    )
}
_ML_NAMES = {f"ml_dtypes.{name}": dtype for name, dtype in ML_DTYPES.items()}


def _dtype(spec: str, *_: Any) -> Pending:
    """Stands for `numpy.dtype(spec, align, copy)`."""
    if type(spec) is Name and spec in _ML_NAMES:
        return Pending(lambda state: _ML_NAMES[spec])
    if type(spec) is not str or not _SPEC.fullmatch(spec):
        raise UnsafePickleError(f"asks for numpy.dtype of {spec!r:.80}")
    return Pending(lambda state: _dtype_with(np.dtype(spec), state))


def _dtype_with(dtype: np.dtype, state: Any) -> np.dtype:
    """Adds byte order, fields or a unit of time to a dtype, through public constructors only."""
    version, order, base, names, fields, *rest = state
    if version not in (3, 4) or order not in ("<", ">", "|", "="):
        raise ValueError(f"unknown state of a dtype: {state!r:.80}")
    if base is not None:
        inner, shape = base
        full = np.dtype((_plain(inner), whole(shape)))
    elif names:
        parts = [fields[name] for name in names]
        formats, offsets = [_plain(part[0]) for part in parts], whole([part[1] for part in parts])
        full = np.dtype(
            {"names": list(names), "formats": formats, "offsets": offsets}
            | {"itemsize": dtype.itemsize}
        )
    elif dtype.kind in "Mm":
        unit, count, *_ = rest[3][1]
        unit = unit if type(unit) is str else raw_bytes(unit).decode()
        if not re.fullmatch("[A-Za-zμ]+", unit):
            raise ValueError(f"unknown unit of time {unit!r}")
        step = "" if unit == "generic" else f"[{whole([count])[0]}{unit}]"
        full = np.dtype(f"{dtype.kind}8{step}")
    else:
        full = dtype
    if full.itemsize != dtype.itemsize:
        raise ValueError(f"a dtype of {dtype.itemsize} bytes has parts of {full.itemsize}")
    return full.newbyteorder(order) if order in "<>" else full


def _plain(dtype: Any) -> np.dtype:
    # Objects inside records would have to be set one by one, and no feature file has them.
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError(f"expected a dtype without objects, got {dtype!r:.80}")
    return dtype


def _reconstruct(kind: Any, *_: Any) -> Pending:
    """Stands for `numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b")`."""
    if type(kind) is not Name or kind != "numpy.ndarray":
        raise UnsafePickleError(f"asks for numpy.core.multiarray._reconstruct of {kind!r:.80}")
    return Pending(_array)


def _array(state: Any) -> np.ndarray:
    *version, shape, dtype, fortran, data = state
    if version not in ([], [0], [1]):
        raise ValueError(f"unknown version {version} of an array")
    shape = whole(shape)
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        if type(data) is not list or len(data) != math.prod(shape):
            raise ValueError(f"an object array {shape} has a content of another size")
    else:
        if type(data) is Mapped:
            return _frombuffer(data, dtype, shape, "F" if fortran else "C")
        data = raw_bytes(data)
        _check_data(data, dtype, shape)
    array = np.ndarray((0,), dtype)
    # NumPy's own, safe once the size fits: it uses the bytes in place and keeps them writable.
    array.__setstate__((1, shape, dtype, bool(fortran), data))
    return array


def _frombuffer(
    data: Any, dtype: Any, shape: Any, order: str, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Stands for `numpy.core.numeric._frombuffer`: arrays in protocol 5."""
    shape = whole(shape)
    if type(data) is Mapped:
        data = data.take()
    elif type(data) is not bytearray:
        data = raw_bytes(data)
    _check_data(data, dtype, shape)
    if order == "K" and axes is not None:
        return np.ndarray(shape, dtype, data).transpose(whole(axes))
    if order not in ("C", "F"):
        raise ValueError(f"unknown order {order!r:.80} of an array")
    return np.ndarray(shape, dtype, data, order=order)


def _scalar(dtype: Any, data: Any) -> Any:
    """Stands for `numpy.core.multiarray.scalar`."""
    data = raw_bytes(data)
    if isinstance(dtype, np.dtype) and dtype.kind in "SU" and not data:
        return dtype.type()
    _check_data(data, dtype, (1,))
    return np.frombuffer(data, dtype)[0]


def _check_data(data: bytes | bytearray, dtype: Any, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the bytes fill the array and its text is valid."""
    _plain(dtype)
    count = math.prod(shape)
    # Elements of no bytes would let a small file claim endless arrays.
    if dtype.subdtype or len(data) != count * dtype.itemsize or (count and not dtype.itemsize):
        raise ValueError(f"{len(data)} bytes for an array {shape} of {dtype}")
    _check_text(np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype))


def _check_text(values: np.ndarray) -> None:
    for name in values.dtype.names or ():
        _check_text(values[name])
    if values.dtype.kind == "U" and values.nbytes:
        order = values.dtype.byteorder
        codes = np.ascontiguousarray(values).view(np.dtype("u4").newbyteorder(order))
        if codes.max() > 0x10FFFF:
            raise ValueError("an array of text has a code beyond the last character, U+10FFFF")


def _numpy_calls() -> dict[str, Callable | None]:
    calls: dict[str, Callable | None] = {"numpy.ndarray": None, "numpy.dtype": _dtype}
    for core in ("numpy.core", "numpy._core"):
        calls |= {
            f"{core}.multiarray._reconstruct": _reconstruct,
            f"{core}.multiarray.scalar": _scalar,
            f"{core}.numeric._frombuffer": _frombuffer,
        }
    return calls | dict.fromkeys(_ML_NAMES)


# "module.name" -> the function called in its place, or None for a name that is only an argument.
NUMPY_CALLS = _numpy_calls()
