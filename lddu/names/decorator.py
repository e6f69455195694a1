"""`named`: a function of plain arrays takes named ones, matched by their names."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import jax
import numpy as np

from lddu.names.estimators import positive_class
from lddu.names.frames import Frame, Names, library, read, rebuild
from lddu.names.matching import positions
from lddu.names.roles import LISTS, RESULTS, ROLES, Axes, Role, role
from lddu.names.states import Labelled, labelled, unlabelled

P = ParamSpec("P")
R = TypeVar("R")
Returns = Literal["entries", "labels", "rows", "state"]

_PLAIN = frozenset({np.ndarray, float, int, bool, str, type(None)})


class _Argument(NamedTuple):
    """A named argument, and the order in which its values entered the function."""

    name: str
    axes: Axes
    frame: Frame
    values: np.ndarray
    order: tuple[np.ndarray | None, ...]


def named(
    function: Callable[P, R] | None = None, *, returns: Returns | None = None, **roles: str
) -> Callable[P, R]:
    """Lets a function of arrays take named arrays of pandas, polars and xarray.

    Arguments are matched by the names of their labels and rows: brought into the order of the first
    that has such names (a fitted state, a list of names, else the first argument), or refused with
    both lists if they do not have the same. An axis without names, or with those that a library
    numbers by default, is taken as it stands. Arrays of the result that the function declares come
    back in the form and order of the first named argument with these axes. A fitted state remembers
    the names of the labels that it was fitted on, as `label_names`.

    Args:
      function: The function; it is called with NumPy arrays in place of named ones.
      returns: What the arrays that it returns are: one value for each of the "entries" of its
        arguments, "labels" or "rows"; or that it returns a fitted "state". None leaves them plain.
      **roles: Axes of arguments, where they differ from `lddu.names.roles.ROLES`.

    Returns:
      The function; without named arguments it does what it did before.
    """
    if function is None:
        return functools.partial(named, returns=returns, **roles)
    signature = inspect.signature(function)
    known = ROLES | {name: role(text) for name, text in roles.items()}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not any(map(_concerned, args)) and not any(map(_concerned, kwargs.values())):
            return function(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        given = {
            name: _estimates(name, value) if name in known and known[name].estimates else value
            for name, value in bound.arguments.items()
        }
        references = dict(_references(given))
        arguments = _aligned(_frames(given, known), references)
        plain = iter(arguments)
        bound.arguments.update(
            {
                name: _map(value, name, lambda *_: next(plain).values)
                for name, value in given.items()
                if name in known
            }
        )
        if "state" in given:
            bound.arguments["state"] = unlabelled(given["state"])
        result = function(*bound.args, **bound.kwargs)
        if returns == "state":
            return labelled(result, references["label"][1]) if "label" in references else result
        return result if returns is None else _restored(result, RESULTS[returns], arguments)

    call.takes_names = True
    return call


def _concerned(value: Any) -> bool:
    """Returns whether a value carries names, or is a list that an estimator may have returned."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if library(kind) or isinstance(value, Labelled):
        return True
    if isinstance(value, Mapping):
        return any(map(_concerned, value.values()))
    if isinstance(value, (list, tuple)):
        if kind is list and value and isinstance(value[0], np.ndarray):
            return True
        return any(library(type(x)) or (type(x) is list and _concerned(x)) for x in value)
    return False


def _estimates(name: str, value: Any) -> Any:
    """Replaces the list of a `predict_proba`, also as one of several arrays."""
    if type(value) is tuple:
        return tuple(positive_class(f"{name}[{i}]", x) for i, x in enumerate(value))
    return positive_class(name, value)


def _references(given: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Names]]]:
    """Yields the axes that a list of names or, before it, a fitted state names."""
    for name, axis in LISTS.items():
        if given.get(name) is not None and not isinstance(given[name], str):
            yield axis, (name, tuple(given[name]))
    if isinstance(given.get("state"), Labelled):
        yield "label", ("state", given["state"].label_names)


def _frames(
    given: Mapping[str, Any], known: Mapping[str, Role]
) -> Iterator[tuple[str, Axes, Frame]]:
    """Yields every named array among the arguments, its axes and its values."""
    for name, value in given.items():
        if name not in known:
            continue
        found: list[tuple[str, Any]] = []
        _map(value, name, lambda *item, found=found: found.append(item))
        for label, source in found:
            frame = read(label, source, known[name].numeric)
            yield label, known[name].axes.get(frame.values.ndim, ()), frame


def _map(value: Any, name: str, function: Callable[[str, Any], Any]) -> Any:
    """Replaces every named array in a value, a tuple or list of them, or a mapping to them."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if library(kind):
        return function(name, value)
    if isinstance(value, Mapping):
        return {key: _map(x, f"{name}[{key!r}]", function) for key, x in value.items()}
    if kind in (list, tuple) and any(library(type(x)) for x in value):
        return kind(_map(x, f"{name}[{i}]", function) for i, x in enumerate(value))
    return value


def _aligned(
    frames: Iterable[tuple[str, Axes, Frame]], references: dict[str, tuple[str, Names]]
) -> list[_Argument]:
    """Brings all arrays into the order of the references, and adds to these what is named first."""
    arguments: list[_Argument] = []
    dims: dict[str, tuple[str, str]] = {}
    for name, axes, frame in frames:
        frame = _turned(name, axes, frame, dims)
        values, order = frame.values, []
        for i, axis in enumerate(axes):
            names, where = frame.names[i], None
            if names is not None:
                first, reference = references.setdefault(axis, (name, names))
                where = positions(axis, reference, names, first, name)
            values = values if where is None else values.take(where, axis=i)
            order.append(where)
        arguments.append(_Argument(name, axes, frame, values, tuple(order)))
    return arguments


def _turned(name: str, axes: Axes, frame: Frame, dims: dict[str, tuple[str, str]]) -> Frame:
    """Transposes an array whose axes have names, so that they stand as in the first such array."""
    if frame.dims is None or not axes:
        return frame
    wanted = tuple(
        dims.get(axis, (name, own))[1] for axis, own in zip(axes, frame.dims, strict=True)
    )
    if sorted(wanted) != sorted(frame.dims):
        first = next(dims[axis][0] for axis in axes if axis in dims)
        raise ValueError(
            f"{first} and {name} name different axes: {first} has {wanted}, {name} has "
            f"{frame.dims}; rename the dimensions so that both have the same"
        )
    for axis, dim in zip(axes, wanted, strict=True):
        dims.setdefault(axis, (name, dim))
    turn = [frame.dims.index(dim) for dim in wanted]
    return frame._replace(
        source=frame.source.transpose(*wanted),
        values=frame.values.transpose(turn),
        names=tuple(frame.names[i] for i in turn),
        dims=wanted,
    )


def _restored(result: Any, axes: Axes, arguments: list[_Argument]) -> Any:
    """Gives the arrays of a result the form, the names and the order of an argument."""
    if isinstance(result, tuple):
        parts = [_restored(x, axes, arguments) for x in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    if not isinstance(result, (np.ndarray, jax.Array)) or result.ndim == 0:
        return result
    for argument in arguments:
        own = [argument.axes.index(axis) for axis in axes[-result.ndim :] if axis in argument.axes]
        shape = tuple(argument.values.shape[i] for i in own)
        if len(own) == result.ndim and shape == result.shape:
            values = _reordered(np.asarray(result), argument, own)
            return rebuild(argument.frame, tuple(own), values)
    return result


def _reordered(values: np.ndarray, argument: _Argument, axes: list[int]) -> np.ndarray:
    """Returns values in the order that an argument had before it was aligned."""
    for i, axis in enumerate(axes):
        where = argument.order[axis]
        if where is not None:
            values = values.take(np.argsort(where), axis=i)
    return values
