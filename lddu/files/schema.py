"""Values parsed from JSON, checked and converted to the type that they must have."""

import dataclasses
import math
import reprlib
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    NoneType: "null",
    np.ndarray: "numbers",
    tuple: "a list",
    list: "a list",
    dict: "an object",
    Mapping: "an object",
}
_MOST_AXES = 8
_LARGEST = 2**63 - 1


def converted(value: Any, kind: Any, *, infinite: bool = False) -> Any:
    """Converts a value parsed from JSON to a type, as `lddu.files.parse_json` describes it.

    Args:
      value: The parsed value.
      kind: The type.
      infinite: Whether numbers may be infinite.

    Raises:
      ValueError: If the value does not fit the type; names the field.
    """
    return _Converter(infinite).convert(value, kind, "")


@dataclasses.dataclass(frozen=True)
class _Converter:
    """Converts values; `at` is the path of the value, such as "history[0].epoch"."""

    infinite: bool

    def convert(self, value: Any, kind: Any, at: str) -> Any:
        origin, args = get_origin(kind) or kind, get_args(kind)
        if kind is Any:
            return value
        if origin in (Union, UnionType):
            return self.union(value, args, at)
        if origin is Literal:
            if not any(type(value) is type(choice) and value == choice for choice in args):
                raise _unfit(value, f"one of {', '.join(map(repr, args))}", at)
            return value
        if kind in (bool, str, NoneType):
            if type(value) is not kind:
                raise _unfit(value, _NAMES[kind], at)
            return value
        if kind in (int, float):
            return self.number(value, kind, at)
        if kind is np.ndarray:
            return self.array(value, at)
        if origin in (tuple, list):
            if not isinstance(value, list):
                raise _unfit(value, _NAMES[origin], at)
            return origin(self.convert(x, args[0], f"{at}[{i}]") for i, x in enumerate(value))
        if not isinstance(value, dict):
            raise _unfit(value, _NAMES[dict], at)
        if origin in (dict, Mapping):
            return {key: self.convert(x, args[1], _below(at, key)) for key, x in value.items()}
        return self.record(value, kind, at)

    def union(self, value: Any, kinds: tuple[Any, ...], at: str) -> Any:
        simple = [kind for kind in kinds if kind is NoneType or kind in (bool, int, float, str)]
        # The very type first, so that a union of both keeps integers and other numbers apart.
        for kind in sorted(simple, key=lambda kind: type(value) is not kind):
            try:
                return self.convert(value, kind, at)
            except ValueError:
                pass
        rest = [kind for kind in kinds if kind not in simple]
        if value is not None and rest:
            return self.convert(value, rest[0], at)
        expected = " or ".join(_NAMES.get(get_origin(kind) or kind, "an object") for kind in kinds)
        raise _unfit(value, expected, at)

    def number(self, value: Any, kind: type, at: str) -> int | float:
        if type(value) not in (int, float):
            raise _unfit(value, _NAMES[kind], at)
        if kind is int:
            if not (abs(value) <= _LARGEST and value == int(value)):
                raise _unfit(value, _NAMES[int], at)
            return int(value)
        allowed = abs(value) <= _LARGEST if type(value) is int else not math.isnan(value)
        if not allowed or not (self.infinite or math.isfinite(value)):
            raise _unfit(value, "a number" if self.infinite else "a finite number", at)
        return float(value)

    def array(self, value: Any, at: str) -> np.ndarray:
        nested = self.nested(value, at, _MOST_AXES)
        try:
            return np.array(nested, np.float64)
        except ValueError:
            raise ValueError(f"{at or 'the content'} has lists of different lengths") from None

    def nested(self, value: Any, at: str, axes: int) -> Any:
        if not isinstance(value, list):
            return self.number(value, float, at)
        if not axes:
            raise _unfit(value, "a number", at)
        return [self.nested(x, f"{at}[{i}]", axes - 1) for i, x in enumerate(value)]

    def record(self, value: dict[str, Any], kind: Any, at: str) -> Any:
        """Makes an instance of a class with named fields."""
        fields = get_type_hints(kind)
        where = f"{at}: " if at else ""
        for name in value:
            if name not in fields:
                known = ", ".join(fields)
                raise ValueError(f"{where}unknown key {reprlib.repr(name)}; known are {known}")
        for name in fields:
            if name not in value and name in _required(kind):
                raise ValueError(f"{where}lacks {name!r}")
        return kind(**{k: self.convert(x, fields[k], _below(at, k)) for k, x in value.items()})


def _required(kind: Any) -> set[str]:
    if is_typeddict(kind):
        return set(kind.__required_keys__)
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        return {
            field.name
            for field in dataclasses.fields(kind)
            if field.default is missing and field.default_factory is missing
        }
    return set(kind._fields) - set(kind._field_defaults)


def _below(at: str, key: str) -> str:
    key = key if key.isidentifier() else reprlib.repr(key)
    return f"{at}.{key}" if at else key


def _unfit(value: Any, expected: str, at: str) -> ValueError:
    words = [word for word, x in (("null", None), ("true", True), ("false", False)) if value is x]
    shown = words[0] if words else reprlib.repr(value)
    return ValueError(f"{at or 'the content'} is {shown}, expected {expected}")
