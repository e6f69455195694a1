"""A pickle machine that knows data only: it imports nothing and calls nothing but a given table.

Python's own unpickler imports whatever a file names, calls it, and lets the file write into the
attributes of the result. Here a name is looked up in a table as text and never resolved, only
functions of that table are called, and no attribute of anything is ever set.
"""

import codecs
import pickle
import struct
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from lddu.data.formats.objects import Mapped, MustRead, Name, Pending, UnsafePickleError

# Arrays below this are read: a page is 4 KiB.
_MAP_FROM = 1 << 20


class Machine:
    """Reads one pickle of protocol 0 to 5.

    Strings of Python 2 become text as Latin-1, which keeps every byte.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        calls: Mapping[str, Callable | None],
        persistent: Callable[[Any], Any] | None = None,
        mapped: np.ndarray | None = None,
    ):
        """Prepares to read from where the file stands; use a machine once.

        Args:
          file: A buffered file; it is left just behind the pickle.
          size: No object takes more bytes than this, the size of the file: a larger claim is
            refused before memory is asked for.
          calls: "module.name" -> the function to call in its place, or None where the name only
            serves as an argument.
          persistent: Gives the object behind a persistent id.
          mapped: (bytes,) uint8, the file from its start, mapped; large arrays then become
            read-only views of it. None reads everything.
        """
        self._file, self._size, self._calls, self._persistent = file, size, calls, persistent
        self._map, self._mapped = mapped, []
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._pending = 0

    def load(self) -> Any:
        """The object in the pickle.

        Raises:
          UnsafePickleError: If it names something outside the table.
          MustRead: If it holds large bytes outside of arrays, and `mapped` was given.
          Exception: One of `DAMAGE`, if it is damaged.
        """
        read = self._file.read
        while (code := read(1)) != pickle.STOP:
            if code not in _STEPS:
                raise EOFError("it ends early") if not code else ValueError(f"no opcode {code!r}")
            _STEPS[code](self)
        if self._pending:
            raise ValueError("an array or dtype lacks its content")
        if not all(mapped.used for mapped in self._mapped):
            raise MustRead
        return self._stack.pop()

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes of the file."""
        data = self._file.read(count) if count <= self._size else b""
        if len(data) != count:
            raise EOFError("it ends early")
        return data

    def line(self) -> bytes:
        """The file up to the next line feed, without it."""
        data = self._file.readline()
        if data[-1:] != b"\n":
            raise EOFError("it ends early")
        return data[:-1]

    def number(self, layout: str) -> int:
        """One number in the notation of `struct`."""
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    # --- the stack ---

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Takes the topmost value from the stack."""
        return self._stack.pop()

    def drop(self) -> None:
        """Removes the topmost value, or the mark if there is none above it."""
        if self._stack:
            self._stack.pop()
        else:
            self.since_mark()

    def mark(self) -> None:
        """Sets a mark, from where a later step collects."""
        self._marks.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        """Takes all values above the last mark, and the mark."""
        values, self._stack = self._stack, self._marks.pop()
        return values

    def duplicate(self) -> None:
        """Puts the topmost value on the stack again."""
        self.push(self._shared(self._stack[-1]))

    # --- the memo ---

    def put(self, key: int) -> None:
        """Remembers the topmost value."""
        value = self._memo[key] = self._stack[-1]
        if type(value) is Pending:
            value.keys.append(key)

    def memoize(self) -> None:
        """Remembers the topmost value under the next number."""
        self.put(len(self._memo))

    def get(self, key: int) -> None:
        """Puts a remembered value on the stack."""
        self.push(self._shared(self._memo[key]))

    def _shared(self, value: Any) -> Any:
        if type(value) is Mapped:
            raise MustRead
        # One reference only, so that `build` is able to replace it everywhere.
        if type(value) is Pending:
            raise ValueError("an array or dtype contains itself")
        return value

    # --- containers ---

    def append(self, values: list[Any]) -> None:
        """Adds to the list on top."""
        _only(self._stack[-1], list).extend(values)

    def add(self) -> None:
        """Adds the values above the mark to the set below it."""
        values = self.since_mark()
        _only(self._stack[-1], set).update(values)

    def set_items(self, flat: list[Any]) -> None:
        """Adds key, value, key, value ... to the dictionary on top."""
        _only(self._stack[-1], dict, OrderedDict, defaultdict).update(_pairs(flat))

    # --- names and calls ---

    def name(self, module: str, name: str) -> None:
        """Puts a reference to a name of the table on the stack."""
        full = f"{module}.{name}"
        if full not in self._calls:
            raise UnsafePickleError(f"asks for {full!r:.200}; only arrays and containers are read")
        self.push(Name(full))

    def stack_name(self) -> None:
        """`name` with both parts from the stack."""
        name, module = self.pop(), self.pop()
        self.name(_only(module, str), _only(name, str))

    def call(self, args: Any) -> None:
        """Replaces the name on top by the result of its function."""
        name = _only(self.pop(), Name)
        function = self._calls[name]
        if function is None:
            raise UnsafePickleError(f"asks to call {name!r}, which is no function here")
        result = function(*_only(args, tuple))
        self._pending += type(result) is Pending
        self.push(result)

    def call_with_keywords(self) -> None:
        """`call` for a class with keyword arguments, of which no allowed one has any."""
        if self.pop():
            raise UnsafePickleError("asks for a call with keyword arguments")
        self.call(self.pop())

    def call_inst(self) -> None:
        """`call` with a name in the file and the values above the mark."""
        module, name = self.line().decode(), self.line().decode()
        args = tuple(self.since_mark())
        self.name(module, name)
        self.call(args)

    def call_marked(self) -> None:
        """`call` with the name and its arguments above the mark."""
        name, *args = self.since_mark()
        self.push(name)
        self.call(tuple(args))

    def build(self) -> None:
        """Gives the object on top its content."""
        state = self.pop()
        target = self._stack[-1]
        if type(target) is Pending:
            self._pending -= 1
            self._stack[-1] = target.finish(state)
            for key in target.keys:
                # The file may have used the number again for something else.
                if self._memo[key] is target:
                    self._memo[key] = self._stack[-1]
        # State dicts of PyTorch carry `_metadata` as an attribute, which is dropped.
        elif type(target) is not OrderedDict:
            raise UnsafePickleError(f"asks to set attributes of a {type(target).__name__}")

    def extension(self, layout: str) -> None:
        """Refuses a name from the process-wide registry of `copyreg`."""
        raise UnsafePickleError(f"asks for copyreg extension {self.number(layout)}")

    def persistent(self, identity: Any) -> None:
        """Puts the object behind a persistent id on the stack."""
        if self._persistent is None:
            raise ValueError("it refers to data outside of itself; torch.save files: load_torch")
        self.push(self._persistent(identity))

    # --- values ---

    def protocol(self) -> None:
        """Checks the protocol."""
        version = self.number("B")
        if version > 5:
            raise ValueError(f"protocol {version}, at most 5 is known")

    def integer(self) -> None:
        """A decimal number, or 00 and 01 for False and True."""
        text = self.line()
        self.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text))

    def quoted(self) -> None:
        """A Python 2 string in quotes."""
        text = self.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise ValueError("a string lacks its quotes")
        self.push(codecs.escape_decode(text[1:-1])[0].decode("latin-1"))

    def text(self, layout: str) -> None:
        """A string in UTF-8 behind its length."""
        self.push(self.read(self.number(layout)).decode("utf-8", "surrogatepass"))

    def payload(self, layout: str) -> None:
        """Bytes behind their length."""
        size = self.number(layout)
        self.push(self.read(size) if self._map is None or size < _MAP_FROM else self.map(size))

    def map(self, size: int) -> Mapped:
        """The next bytes of the file, unread."""
        start = self._file.tell()
        if start + size > len(self._map):
            raise EOFError("it ends early")
        self._file.seek(start + size)
        self._mapped.append(Mapped(self._map[start : start + size]))
        return self._mapped[-1]

    def bytearray(self) -> None:
        """A bytearray, read in place since the data of arrays come as one."""
        size = self.number("<Q")
        if self._map is not None and size >= _MAP_FROM:
            self.push(self.map(size))
            return
        data = bytearray(size if size <= self._size else 0)
        if self._file.readinto(data) != size:
            raise EOFError("it ends early")
        self.push(data)


def _only(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise ValueError(f"a {type(value).__name__} where a {types[0].__name__} belongs")
    return value


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _last(count: int) -> Callable[[Machine], None]:
    """Step that makes a tuple of the topmost values."""

    def step(m: Machine) -> None:
        m.push(tuple([m.pop() for _ in range(count)][::-1]))

    return step


# The opcodes under their names in `pickle`; a file has no other way to act.
_STEPS: dict[bytes, Callable[[Machine], None]] = {
    # stack and memo
    pickle.MARK: Machine.mark,
    pickle.POP: Machine.drop,
    pickle.POP_MARK: lambda m: m.since_mark(),
    pickle.DUP: Machine.duplicate,
    pickle.PUT: lambda m: m.put(int(m.line())),
    pickle.BINPUT: lambda m: m.put(m.number("B")),
    pickle.LONG_BINPUT: lambda m: m.put(m.number("<I")),
    pickle.MEMOIZE: Machine.memoize,
    pickle.GET: lambda m: m.get(int(m.line())),
    pickle.BINGET: lambda m: m.get(m.number("B")),
    pickle.LONG_BINGET: lambda m: m.get(m.number("<I")),
    # constants and numbers
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: Machine.integer,
    pickle.BININT: lambda m: m.push(m.number("<i")),
    pickle.BININT1: lambda m: m.push(m.number("B")),
    pickle.BININT2: lambda m: m.push(m.number("<H")),
    pickle.LONG: lambda m: m.push(int(m.line().removesuffix(b"L"))),
    pickle.LONG1: lambda m: m.push(pickle.decode_long(m.read(m.number("B")))),
    pickle.LONG4: lambda m: m.push(pickle.decode_long(m.read(m.number("<I")))),
    pickle.FLOAT: lambda m: m.push(float(m.line())),
    pickle.BINFLOAT: lambda m: m.push(m.number(">d")),
    # text and bytes
    pickle.STRING: Machine.quoted,
    pickle.BINSTRING: lambda m: m.push(m.read(m.number("<I")).decode("latin-1")),
    pickle.SHORT_BINSTRING: lambda m: m.push(m.read(m.number("B")).decode("latin-1")),
    pickle.UNICODE: lambda m: m.push(m.line().decode("raw-unicode-escape")),
    pickle.SHORT_BINUNICODE: lambda m: m.text("B"),
    pickle.BINUNICODE: lambda m: m.text("<I"),
    pickle.BINUNICODE8: lambda m: m.text("<Q"),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.read(m.number("B"))),
    pickle.BINBYTES: lambda m: m.payload("<I"),
    pickle.BINBYTES8: lambda m: m.payload("<Q"),
    pickle.BYTEARRAY8: Machine.bytearray,
    # containers
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.since_mark())),
    pickle.TUPLE1: _last(1),
    pickle.TUPLE2: _last(2),
    pickle.TUPLE3: _last(3),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.LIST: lambda m: m.push(m.since_mark()),
    pickle.APPEND: lambda m: m.append([m.pop()]),
    pickle.APPENDS: lambda m: m.append(m.since_mark()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.DICT: lambda m: m.push(_pairs(m.since_mark())),
    pickle.SETITEM: lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    pickle.SETITEMS: lambda m: m.set_items(m.since_mark()),
    pickle.EMPTY_SET: lambda m: m.push(set()),
    pickle.ADDITEMS: Machine.add,
    pickle.FROZENSET: lambda m: m.push(frozenset(m.since_mark())),
    # names and calls
    pickle.GLOBAL: lambda m: m.name(m.line().decode(), m.line().decode()),
    pickle.STACK_GLOBAL: Machine.stack_name,
    pickle.REDUCE: lambda m: m.call(m.pop()),
    pickle.NEWOBJ: lambda m: m.call(m.pop()),
    pickle.NEWOBJ_EX: Machine.call_with_keywords,
    pickle.INST: Machine.call_inst,
    pickle.OBJ: Machine.call_marked,
    pickle.BUILD: Machine.build,
    pickle.EXT1: lambda m: m.extension("B"),
    pickle.EXT2: lambda m: m.extension("<H"),
    pickle.EXT4: lambda m: m.extension("<I"),
    pickle.PERSID: lambda m: m.persistent(m.line().decode()),
    pickle.BINPERSID: lambda m: m.persistent(m.pop()),
    # frames group what is read at once, which the buffered file does already
    pickle.PROTO: Machine.protocol,
    pickle.FRAME: lambda m: m.number("<Q"),
}
