"""The opcodes of pickles, each a step of the machine; a file has no other way to act."""

import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from lddu.data.formats.machine import Machine
from lddu.data.formats.stack import pairs
from lddu.data.formats.stream import Stream


def unpickle(
    file: BinaryIO,
    size: int,
    calls: Mapping[str, Callable | None],
    persistent: Callable[[Any], Any] | None = None,
    mapped: np.ndarray | None = None,
) -> Any:
    """Reads one pickle of protocol 0 to 5 from where a file stands.

    Args:
      file: A buffered file; it is left just behind the pickle.
      size: Number of bytes of the whole file; an object that claims more is refused.
      calls: "module.name" -> the function to call in its place, or None where the name only
        serves as an argument.
      persistent: Returns the object behind a persistent id. None refuses such ids.
      mapped: (bytes,) uint8, the file from its start, mapped; large arrays then become read-only
        views of it. None reads everything.

    Returns:
      The object in the pickle.

    Raises:
      UnsafePickleError: If it names something outside the table.
      MustRead: If it holds large bytes outside of arrays, and `mapped` was given.
      Exception: One of `objects.DAMAGE`, if it is damaged.
    """
    stream = Stream(file, size, mapped)
    machine = Machine(stream, calls, persistent)
    while (code := stream.opcode()) != pickle.STOP:
        if code not in _STEPS:
            raise EOFError("it ends early") if not code else ValueError(f"no opcode {code!r}")
        _STEPS[code](machine)
    return machine.result()


def _constant(value: Any) -> Callable[[Machine], None]:
    return lambda m: m.push(value)


def _number(layout: str) -> Callable[[Machine], None]:
    return lambda m: m.push(m.stream.number(layout))


# Under their names in `pickle`.
_STEPS: dict[bytes, Callable[[Machine], None]] = {
    # stack and memo
    pickle.MARK: Machine.mark,
    pickle.POP: Machine.drop,
    pickle.POP_MARK: lambda m: m.since_mark(),
    pickle.DUP: Machine.duplicate,
    pickle.PUT: lambda m: m.put(int(m.stream.line())),
    pickle.BINPUT: lambda m: m.put(m.stream.number("B")),
    pickle.LONG_BINPUT: lambda m: m.put(m.stream.number("<I")),
    pickle.MEMOIZE: Machine.memoize,
    pickle.GET: lambda m: m.get(int(m.stream.line())),
    pickle.BINGET: lambda m: m.get(m.stream.number("B")),
    pickle.LONG_BINGET: lambda m: m.get(m.stream.number("<I")),
    # constants and numbers
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.INT: Machine.integer,
    pickle.BININT: _number("<i"),
    pickle.BININT1: _number("B"),
    pickle.BININT2: _number("<H"),
    pickle.LONG: lambda m: m.push(int(m.stream.line().removesuffix(b"L"))),
    pickle.LONG1: lambda m: m.long("B"),
    pickle.LONG4: lambda m: m.long("<I"),
    pickle.FLOAT: lambda m: m.push(float(m.stream.line())),
    pickle.BINFLOAT: _number(">d"),
    # text and bytes
    pickle.STRING: Machine.quoted,
    pickle.BINSTRING: lambda m: m.latin("<I"),
    pickle.SHORT_BINSTRING: lambda m: m.latin("B"),
    pickle.UNICODE: lambda m: m.push(m.stream.line().decode("raw-unicode-escape")),
    pickle.SHORT_BINUNICODE: lambda m: m.text("B"),
    pickle.BINUNICODE: lambda m: m.text("<I"),
    pickle.BINUNICODE8: lambda m: m.text("<Q"),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.stream.read(m.stream.number("B"))),
    pickle.BINBYTES: lambda m: m.push(m.stream.payload("<I")),
    pickle.BINBYTES8: lambda m: m.push(m.stream.payload("<Q")),
    pickle.BYTEARRAY8: lambda m: m.push(m.stream.bytearray()),
    # containers
    pickle.EMPTY_TUPLE: _constant(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.since_mark())),
    pickle.TUPLE1: lambda m: m.make_tuple(1),
    pickle.TUPLE2: lambda m: m.make_tuple(2),
    pickle.TUPLE3: lambda m: m.make_tuple(3),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.LIST: lambda m: m.push(m.since_mark()),
    pickle.APPEND: lambda m: m.append([m.pop()]),
    pickle.APPENDS: lambda m: m.append(m.since_mark()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.DICT: lambda m: m.push(pairs(m.since_mark())),
    pickle.SETITEM: lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    pickle.SETITEMS: lambda m: m.set_items(m.since_mark()),
    pickle.EMPTY_SET: lambda m: m.push(set()),
    pickle.ADDITEMS: Machine.add,
    pickle.FROZENSET: lambda m: m.push(frozenset(m.since_mark())),
    # names and calls
    pickle.GLOBAL: Machine.name_on_lines,
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
    pickle.PERSID: lambda m: m.persistent(m.stream.line().decode()),
    pickle.BINPERSID: lambda m: m.persistent(m.pop()),
    # Frames group what is read at once, which the buffered file does already.
    pickle.PROTO: Machine.protocol,
    pickle.FRAME: lambda m: m.stream.number("<Q"),
}
