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
