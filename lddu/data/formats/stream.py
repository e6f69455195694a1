"""The bytes of a pickle: read in pieces that the file can hold, or left in the file and mapped."""

import struct
from typing import BinaryIO

import numpy as np

from lddu.data.formats.objects import Mapped, MustRead

# Smaller arrays are read: a page is 4 KiB.
_MAP_FROM = 1 << 20


class Stream:
    """Reads one pickle's bytes from where a file stands.

    No piece is larger than the file: a larger claim is refused before memory is asked for.
    """

    def __init__(self, file: BinaryIO, size: int, mapped: np.ndarray | None = None):
        """Wraps a file.

        Args:
          file: A buffered file; it is left just behind what was read.
          size: Number of bytes of the whole file.
          mapped: (bytes,) uint8, the file from its start, mapped; large pieces then become
            read-only views of it. None reads everything.
        """
        self._file, self._size, self._map = file, size, mapped
        self._pieces: list[Mapped] = []

    def opcode(self) -> bytes:
        """Reads one byte, or nothing at the end of the file."""
        return self._file.read(1)

    def read(self, count: int) -> bytes:
        """Reads exactly `count` bytes."""
        data = self._file.read(count) if count <= self._size else b""
        if len(data) != count:
            raise EOFError("it ends early")
        return data

    def line(self) -> bytes:
        """Reads up to the next line feed, and returns the line without it."""
        data = self._file.readline()
        if data[-1:] != b"\n":
            raise EOFError("it ends early")
        return data[:-1]

    def number(self, layout: str) -> int:
        """Reads one number in the notation of `struct`."""
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def payload(self, layout: str) -> bytes | Mapped:
        """Reads bytes behind their length, or maps them if they are many."""
        size = self.number(layout)
        return self._mapped(size) if self._maps(size) else self.read(size)

    def bytearray(self) -> bytearray | Mapped:
        """Reads a bytearray behind its length, in place, since arrays' data come as one."""
        size = self.number("<Q")
        if self._maps(size):
            return self._mapped(size)
        data = bytearray(size if size <= self._size else 0)
        if self._file.readinto(data) != size:
            raise EOFError("it ends early")
        return data

    def check_used(self) -> None:
        """Raises `MustRead` unless every mapped piece became an array."""
        if not all(piece.used for piece in self._pieces):
            raise MustRead

    def _maps(self, size: int) -> bool:
        return self._map is not None and size >= _MAP_FROM

    def _mapped(self, size: int) -> Mapped:
        """Returns the next bytes of the file, unread."""
        start = self._file.tell()
        if start + size > len(self._map):
            raise EOFError("it ends early")
        self._file.seek(start + size)
        self._pieces.append(Mapped(self._map[start : start + size]))
        return self._pieces[-1]
