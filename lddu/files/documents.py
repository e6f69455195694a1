"""JSON texts and files, read by the type that their content must have."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from lddu.files.schema import converted

Kind = TypeVar("Kind")
REMEDY = "Restore the file from a copy, or write it again"


def read_json(path: Path, kind: type[Kind] | Any, *, infinite: bool = False) -> Kind:
    """Reads a JSON file whose content must have a given type.

    Args:
      path: A UTF-8 file.
      kind: The type, as `parse_json` takes it.
      infinite: Whether numbers may be infinite.

    Returns:
      The content as a value of that type.

    Raises:
      OSError: If the file cannot be opened, for instance because it does not exist.
      ValueError: If its content is damaged or of another type; names the file and the field.
    """
    content = path.read_bytes()
    with damage_named(path):
        return parse_json(content, kind, infinite=infinite)


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Adds to a ValueError which file is damaged, and what to do."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. {REMEDY}") from error


def parse_json(text: str | bytes, kind: type[Kind] | Any, *, infinite: bool = False) -> Kind:
    """Reads a JSON text whose value must have a given type.

    The type is made of bool, int, float, str, None, `Literal`, unions, `tuple[X, ...]`,
    `list[X]`, `dict[str, X]` (or `Mapping`), dataclasses, named tuples, typed dicts,
    `numpy.ndarray` (a number or equally nested lists of them) and `Any`. A class takes an object
    with its fields as keys, and no others; those with a default may be absent.

    Args:
      text: The text, in UTF-8 if it is bytes.
      kind: The type.
      infinite: Whether numbers may be infinite. NaN is never allowed.

    Returns:
      The value of that type.

    Raises:
      ValueError: If the text is not JSON, has a key twice, is nested too deeply, or its value has
        another type; names the field.

    Example:
      >>> parse_json('{"epochs": [3, 4]}', dict[str, tuple[int, ...]])
      {'epochs': (3, 4)}
      >>> parse_json('{"epochs": [3, "x"]}', dict[str, tuple[int, ...]])
      Traceback (most recent call last):
      ValueError: epochs[1] is 'x', expected an integer
    """
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("values are nested too deeply") from None
    except _Repeated:
        raise
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    return converted(value, kind, infinite=infinite)


class _Repeated(ValueError):
    """An object that has a key more than once."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in content if names.count(name) > 1)
        raise _Repeated(f"has the key {twice!r:.80} more than once")
    return content
