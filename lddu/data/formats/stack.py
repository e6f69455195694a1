"""The stack and the memo of a pickle machine, and the containers that grow on it."""

from collections import OrderedDict, defaultdict
from typing import Any

from lddu.data.formats.objects import Mapped, MustRead, Pending


class Stack:
    """Values in the order a pickle makes them, and those it refers to again by number."""

    def __init__(self):
        self._values: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    @property
    def top(self) -> Any:
        """The topmost value."""
        return self._values[-1]

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self._values.append(value)

    def pop(self) -> Any:
        """Takes the topmost value from the stack."""
        return self._values.pop()

    def drop(self) -> None:
        """Removes the topmost value, or the mark if there is none above it."""
        if self._values:
            self._values.pop()
        else:
            self.since_mark()

    def mark(self) -> None:
        """Sets a mark, from which a later step collects."""
        self._marks.append(self._values)
        self._values = []

    def since_mark(self) -> list[Any]:
        """Takes all values above the last mark, and the mark."""
        values, self._values = self._values, self._marks.pop()
        return values

    def duplicate(self) -> None:
        """Puts the topmost value on the stack again."""
        self.push(_shared(self.top))

    def put(self, key: int) -> None:
        """Remembers the topmost value under a number."""
        value = self._memo[key] = self.top
        if type(value) is Pending:
            value.keys.append(key)

    def memoize(self) -> None:
        """Remembers the topmost value under the next number."""
        self.put(len(self._memo))

    def get(self, key: int) -> None:
        """Puts a remembered value on the stack."""
        self.push(_shared(self._memo[key]))

    def finish(self, pending: Pending, state: Any) -> None:
        """Replaces the pending object on top, here and in the memo, by what its content makes."""
        self._values[-1] = pending.finish(state)
        for key in pending.keys:
            # The file may have used the number again for something else.
            if self._memo[key] is pending:
                self._memo[key] = self.top

    def append(self, values: list[Any]) -> None:
        """Adds to the list on top."""
        only(self.top, list).extend(values)

    def add(self) -> None:
        """Adds the values above the mark to the set below it."""
        values = self.since_mark()
        only(self.top, set).update(values)

    def set_items(self, flat: list[Any]) -> None:
        """Adds key, value, key, value ... to the dictionary on top."""
        only(self.top, dict, OrderedDict, defaultdict).update(pairs(flat))


def only(value: Any, *types: type) -> Any:
    """Returns the value if it is of one of these types.

    Raises:
      ValueError: If it is not; subclasses do not count.
    """
    if type(value) not in types:
        raise ValueError(f"a {type(value).__name__} where a {types[0].__name__} belongs")
    return value


def pairs(flat: list[Any]) -> dict[Any, Any]:
    """Makes a dictionary of key, value, key, value ..."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _shared(value: Any) -> Any:
    if type(value) is Mapped:
        raise MustRead
    # One reference only, so that `finish` can replace it everywhere.
    if type(value) is Pending:
        raise ValueError("an array or dtype contains itself")
    return value
