"""What a pickle may call: containers, what `arrays` adds of NumPy, and stored options.

Each function stands in for the original, takes what a pickler writes and refuses the rest.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from lddu.data.formats.arrays import NUMPY_CALLS
from lddu.data.formats.objects import Name, Pending, UnsafePickleError, raw_bytes

# `long` and `unicode` are Python 2's names, and protocols below 3 still use them.
_FACTORIES = {
    **{"list": list, "dict": dict, "set": set, "int": int, "float": float, "str": str},
    **{"long": int, "unicode": str},
}


def _sequence(kind: Callable) -> Callable:
    """Returns a constructor of `kind` that takes nothing, a list or a tuple.

    Anything else could fill the memory, such as `set(range(10**12))`.
    """

    def build(items: list | tuple = ()) -> Any:
        if type(items) not in (list, tuple):
            raise ValueError(f"{kind.__name__} of a {type(items).__name__}")
        return kind(items)

    return build


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands for `codecs.encode`, which protocols 0 to 2 use for bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded as {encoding!r}, expected latin1")
    return raw_bytes(text)


def _bytearray(content: Any = b"", encoding: str = "latin-1") -> bytearray:
    return bytearray(_encode(content, encoding))


def _complex(real: float, imag: float) -> complex:
    return complex(real, imag)


def _defaultdict(factory: Name | None = None) -> defaultdict:
    if factory is None:
        return defaultdict(None)
    module, _, name = factory.rpartition(".") if type(factory) is Name else ("", "", "")
    if module not in ("builtins", "__builtin__") or name not in _FACTORIES:
        raise UnsafePickleError(f"asks for collections.defaultdict of {factory!r:.80}")
    return defaultdict(_FACTORIES[name])


def _namespace() -> Pending:
    """Stands for `argparse.Namespace`, in which scripts store their options; gives a plain dict."""
    return Pending(_options)


def _options(state: Any) -> dict[str, Any]:
    if type(state) is not dict or not all(type(name) is str for name in state):
        raise ValueError(f"an argparse.Namespace of {state!r:.80}, expected names and values")
    return dict(state)


def _builtin_calls() -> dict[str, Callable | None]:
    containers = {
        "set": _sequence(set),
        "frozenset": _sequence(frozenset),
        "list": _sequence(list),
        "tuple": _sequence(tuple),
        "dict": _sequence(dict),
        "bytes": _sequence(bytes),
        "bytearray": _bytearray,
        "complex": _complex,
        "slice": slice,
        "range": range,
    }
    calls = dict.fromkeys(_FACTORIES) | containers
    # Python 2 and protocols below 3 name the module __builtin__, and `range` xrange.
    return {
        f"{module}.{name}": function
        for module in ("builtins", "__builtin__")
        for name, function in {**calls, "xrange": range}.items()
    }


# "module.name" -> the function called in its place, or None for a name that is only an argument.
PLAIN_CALLS: dict[str, Callable | None] = (
    _builtin_calls()
    | NUMPY_CALLS
    | {
        "collections.OrderedDict": _sequence(OrderedDict),
        "collections.defaultdict": _defaultdict,
        "_codecs.encode": _encode,
        "argparse.Namespace": _namespace,
    }
)
