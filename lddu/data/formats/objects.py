"""Values of a pickle machine that are not plain data, checks of its arguments, and its errors."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np


class UnsafePickleError(ValueError):
    """Raised when a file asks for something that is not plain data, before anything of it runs."""


class Name(str):
    """A name of the table as a file refers to it; left over in the result it is harmless text."""

    __slots__ = ()

    def __reduce__(self):
        return str, (str(self),)


class Pending:
    """A placeholder for an object whose content the file gives in its next step (BUILD).

    Attributes:
      finish: Makes the object from that content.
      keys: Numbers under which the memo holds the placeholder.
    """

    __slots__ = ("finish", "keys")

    def __init__(self, finish: Callable[[Any], Any]):
        self.finish = finish
        self.keys: list[int] = []


class Mapped:
    """Bytes that were left in the file, because they are most likely the content of an array.

    Attributes:
      data: (bytes,) uint8, mapped.
      used: Whether an array has taken the bytes.
    """

    __slots__ = ("data", "used")

    def __init__(self, data: np.ndarray):
        self.data, self.used = data, False

    def take(self) -> np.ndarray:
        """Returns the bytes for an array."""
        self.used = True
        return self.data


class MustRead(Exception):
    """Raised when mapped bytes are wanted as bytes: the file has to be read without mapping."""


# Everything that a damaged or hostile pickle can raise while it is read.
DAMAGE = (
    *(ArithmeticError, AttributeError, BufferError, EOFError, LookupError, MemoryError),
    *(RecursionError, TypeError, ValueError, struct.error),
)


def raw_bytes(data: Any) -> bytes:
    """Returns bytes, also if Python 2 wrote them as a string.

    Raises:
      MustRead: If they were mapped.
      ValueError: If the data are of another type.
    """
    if type(data) is str:
        return data.encode("latin-1")
    if type(data) is Mapped:
        raise MustRead
    if type(data) is not bytes:
        raise ValueError(f"expected bytes, got a {type(data).__name__}")
    return data


def whole(values: Any) -> tuple[int, ...]:
    """Returns a tuple or list of non-negative integers, such as a shape, as a tuple.

    Raises:
      ValueError: If it is anything else.
    """
    ok = type(values) in (tuple, list) and all(type(n) is int and n >= 0 for n in values)
    if not ok:
        raise ValueError(f"expected non-negative integers, got {values!r:.80}")
    return tuple(values)
