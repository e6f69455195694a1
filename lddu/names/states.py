"""Fitted states that remember the names of the labels they were fitted on."""

import functools
from typing import Any, NamedTuple

import jax

from lddu.names.frames import Names


class Labelled:
    """What a state has in addition if it was fitted on arrays with named labels.

    It remains an instance of its own class, and a tuple and pytree of the same arrays. Under
    `jax.jit` the names are constant.

    Attributes:
      label_names: Names of the labels, in the order of the state's arrays.
    """

    label_names: Names

    def _replace(self, **changes: Any) -> Any:
        return labelled(unlabelled(self)._replace(**changes), self.label_names)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, label_names={list(self.label_names)})"

    def __reduce__(self):
        return labelled, (unlabelled(self), self.label_names)


def labelled(state: NamedTuple, names: Names) -> Any:
    """Returns a state with the names of its labels; a NamedTuple that holds a `state`, with its.

    Example:
      >>> from typing import NamedTuple
      >>> class Shift(NamedTuple):
      ...     by: tuple
      >>> state = labelled(Shift((1.0, 2.0)), ("joy", "fear"))
      >>> isinstance(state, Shift), state.label_names, unlabelled(state)
      (True, ('joy', 'fear'), Shift(by=(1.0, 2.0)))
    """
    if "state" in state._fields:
        return state._replace(state=labelled(state.state, names))
    result = tuple.__new__(_kind(type(state)), state)
    result.label_names = tuple(names)
    return result


def unlabelled(state: Any) -> Any:
    """Returns a state without names; anything else as it is."""
    return type(state).plain(*state) if isinstance(state, Labelled) else state


@functools.cache
def _kind(plain: type) -> type:
    """Returns the class of the labelled states of a class."""
    kind = type(plain.__name__, (Labelled, plain), {"plain": plain, "__module__": plain.__module__})
    jax.tree_util.register_pytree_node(
        kind,
        lambda state: (tuple(state), state.label_names),
        lambda names, arrays: labelled(plain(*arrays), names),
    )
    return kind
