"""What a pickle machine works with beside plain values, and how it fails."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np


class UnsafePickleError(ValueError):
    """A file asks for something that is not plain data. Nothing of it has been run."""


class Name(str):
    """A name of the table as a file refers to it. Left over in the result it is harmless text."""

    __slots__ = ()

    def __reduce__(self):
        return str, (str(self),)


class Pending:
    """An object whose content the file gives in its next step (BUILD).

    Attributes:
      finish: Turns that content into the object that takes this one's place.
      keys: Where the memo holds this one.
    """

    __slots__ = ("finish", "keys")

    def __init__(self, finish: Callable[[Any], Any]):
        self.finish = finish
        self.keys: list[int] = []


class Mapped:
    """Bytes that were left in the file, because they are most likely the content of an array.

    Attributes:
      data: (bytes,) uint8, mapped.
      used: Whether an array has taken them.
    """

    __slots__ = ("data", "used")

    def __init__(self, data: np.ndarray):
        self.data, self.used = data, False

    def take(self) -> np.ndarray:
        """The bytes, for an array."""
        self.used = True
        return self.data


class MustRead(Exception):
    """Mapped bytes are wanted as bytes: the file has to be read without mapping."""


# Everything a damaged or hostile pickle is able to raise in the code below.
DAMAGE = (
    *(ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError, struct.error),
)


def raw_bytes(data: Any) -> bytes:
    """Bytes, also where Python 2 wrote them as a string."""
    if type(data) is str:
        return data.encode("latin-1")
    if type(data) is Mapped:
        raise MustRead
    if type(data) is not bytes:
        raise ValueError(f"bytes expected, found a {type(data).__name__}")
    return data


def whole(values: Any) -> tuple[int, ...]:
    """A tuple or list of whole numbers >= 0, such as a shape.

    Raises:
      ValueError: If it is anything else.
    """
    ok = type(values) in (tuple, list) and all(type(n) is int and n >= 0 for n in values)
    if not ok:
        raise ValueError(f"whole numbers >= 0 expected, found {values!r:.80}")
    return tuple(values)
