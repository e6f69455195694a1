"""Checks that all configuration dataclasses share."""

import dataclasses
import math
import numbers
import types
from typing import Any, Literal, get_args, get_origin

import numpy as np

_WANTED = {
    bool: ((bool, np.bool_), "True or False"),
    int: (numbers.Integral, "an integer"),
    float: (numbers.Real, "a number"),
    str: (str, "a text"),
}


def require(ok: bool, message: str) -> None:
    """Raises ValueError with the message unless `ok`."""
    if not ok:
        raise ValueError(message)


def require_types(config: Any, group: str) -> None:
    """Raises ValueError unless every field holds a value of its annotated type.

    NumPy numbers become Python's, and lists become tuples, so that equal settings are equal and
    hashable.

    Args:
      config: The dataclass instance to check.
      group: Name of the group of settings, for the message.
    """
    for field in dataclasses.fields(config):
        value = _checked(f"{group}: {field.name}", getattr(config, field.name), field.type)
        object.__setattr__(config, field.name, value)  # the dataclass is frozen


def _checked(name: str, value: Any, kind: Any) -> Any:
    """Returns a value in the form that its type prescribes."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        require(
            isinstance(value, str) and value in parts,
            f"{name}={value!r}; choose from {', '.join(map(repr, parts))}",
        )
        return value
    if origin is types.UnionType:  # with None
        return None if value is None else _checked(name, value, parts[0])
    if origin is tuple:
        require(
            isinstance(value, (tuple, list)),
            f"{name}={value!r} is a {type(value).__name__}, must be a tuple",
        )
        return tuple(_checked(f"{name}[{i}]", x, parts[0]) for i, x in enumerate(value))
    types_allowed, wanted = _WANTED.get(kind, (kind, f"a {kind.__name__}"))
    fits = isinstance(value, types_allowed) and (kind is bool or not isinstance(value, bool))
    require(fits, f"{name}={value!r} is a {type(value).__name__}, must be {wanted}")
    if kind is float:
        require(not math.isnan(value), f"{name}={value!r} must be {wanted}")
    return value if kind not in _WANTED or isinstance(value, (int, float)) else kind(value)
