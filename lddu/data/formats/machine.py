"""A pickle machine that knows data only: it imports nothing and calls nothing but a given table.

Python's own unpickler imports whatever a file names, calls it, and lets the file write into the
attributes of the result. Here a name is looked up in a table as text and never resolved, only
functions of that table are called, and no attribute of anything is ever set.
"""

import codecs
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from lddu.data.formats.objects import Name, Pending, UnsafePickleError
from lddu.data.formats.stack import Stack, only
from lddu.data.formats.stream import Stream


class Machine(Stack):
    """The state of reading one pickle of protocol 0 to 5, and what its opcodes do.

    Strings of Python 2 become text as Latin-1, which keeps every byte.

    Attributes:
      stream: The bytes of the pickle.
    """

    def __init__(
        self,
        stream: Stream,
        calls: Mapping[str, Callable | None],
        persistent: Callable[[Any], Any] | None = None,
    ):
        """Prepares to read one pickle.

        Args:
          stream: Its bytes.
          calls: "module.name" -> the function to call in its place, or None where the name only
            serves as an argument.
          persistent: Returns the object behind a persistent id. None refuses such ids.
        """
        super().__init__()
        self.stream = stream
        self._calls, self._persistent = calls, persistent
        self._pending = 0

    def result(self) -> Any:
        """Takes the finished object from the stack.

        Raises:
          MustRead: If large bytes that were mapped did not become arrays.
          ValueError: If an array or dtype was never given its content.
        """
        if self._pending:
            raise ValueError("an array or dtype lacks its content")
        self.stream.check_used()
        return self.pop()

    # --- names and calls ---

    def name(self, module: str, name: str) -> None:
        """Puts a reference to a name of the table on the stack."""
        full = f"{module}.{name}"
        if full not in self._calls:
            raise UnsafePickleError(f"asks for {full!r:.200}; only arrays and containers are read")
        self.push(Name(full))

    def name_on_lines(self) -> None:
        """Reads module and name, a line each."""
        self.name(self.stream.line().decode(), self.stream.line().decode())

    def stack_name(self) -> None:
        """Takes module and name from the stack."""
        name, module = self.pop(), self.pop()
        self.name(only(module, str), only(name, str))

    def call(self, args: Any) -> None:
        """Replaces the name on top by the result of its function."""
        name = only(self.pop(), Name)
        function = self._calls[name]
        if function is None:
            raise UnsafePickleError(f"asks to call {name!r}, which is not a function here")
        result = function(*only(args, tuple))
        self._pending += type(result) is Pending
        self.push(result)

    def call_with_keywords(self) -> None:
        """Calls a class with keyword arguments; no class of the table takes any."""
        if self.pop():
            raise UnsafePickleError("asks for a call with keyword arguments")
        self.call(self.pop())

    def call_inst(self) -> None:
        """Calls a name that is read from the file with the values above the mark."""
        module, name = self.stream.line().decode(), self.stream.line().decode()
        args = tuple(self.since_mark())
        self.name(module, name)
        self.call(args)

    def call_marked(self) -> None:
        """Calls the first value above the mark with the others."""
        name, *args = self.since_mark()
        self.push(name)
        self.call(tuple(args))

    def build(self) -> None:
        """Gives the object on top its content."""
        state = self.pop()
        target = self.top
        if type(target) is Pending:
            self._pending -= 1
            self.finish(target, state)
        # State dicts of PyTorch carry `_metadata` as an attribute, which is dropped.
        elif type(target) is not OrderedDict:
            raise UnsafePickleError(f"asks to set attributes of a {type(target).__name__}")

    def extension(self, layout: str) -> None:
        """Refuses a name from the process-wide registry of `copyreg`."""
        raise UnsafePickleError(f"asks for copyreg extension {self.stream.number(layout)}")

    def persistent(self, identity: Any) -> None:
        """Puts the object behind a persistent id on the stack."""
        if self._persistent is None:
            raise ValueError("it refers to data outside of itself; torch.save files: load_torch")
        self.push(self._persistent(identity))

    # --- values ---

    def protocol(self) -> None:
        """Checks the protocol."""
        version = self.stream.number("B")
        if version > 5:
            raise ValueError(f"protocol {version}, at most 5 is known")

    def integer(self) -> None:
        """Reads a decimal number, or 00 and 01 for False and True."""
        text = self.stream.line()
        self.push({b"00": False, b"01": True}[text] if text in (b"00", b"01") else int(text))

    def quoted(self) -> None:
        """Reads a Python 2 string in quotes."""
        text = self.stream.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise ValueError("a string lacks its quotes")
        self.push(codecs.escape_decode(text[1:-1])[0].decode("latin-1"))

    def text(self, layout: str) -> None:
        """Reads a string in UTF-8 behind its length."""
        data = self.stream.read(self.stream.number(layout))
        self.push(data.decode("utf-8", "surrogatepass"))

    def latin(self, layout: str) -> None:
        """Reads a Python 2 string behind its length."""
        self.push(self.stream.read(self.stream.number(layout)).decode("latin-1"))

    def long(self, layout: str) -> None:
        """Reads a whole number of any size behind its length in bytes."""
        data = self.stream.read(self.stream.number(layout))
        self.push(int.from_bytes(data, "little", signed=True))

    def make_tuple(self, count: int) -> None:
        """Makes a tuple of the topmost values."""
        self.push(tuple([self.pop() for _ in range(count)][::-1]))
