"""Scores that noise pushes away from a bound, and so have no bootstrap interval.

The calibration error of true probabilities is 0, but in any sample it is above, and in a resample,
which has the noise twice, higher still. Such functions are marked here, so that `bootstrap` can
refuse them by name.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

NAMES = ("ece", "ece_macro", "ece_adaptive", "ece_debiased", "mce", "reliability")
"""Keys of a mapping of scores, as from `summarise`, that stand for such scores."""

_calls: ContextVar[list[str] | None] = ContextVar("calls", default=None)


def marked(function: Callable[P, R]) -> Callable[P, R]:
    """Marks a function as having no bootstrap interval."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        calls = _calls.get()
        if calls is not None:
            calls.append(function.__name__)
        return function(*args, **kwargs)

    return call


@contextmanager
def unseen() -> Iterator[None]:
    """Hides calls of marked functions from `watch`, for functions that return many scores."""
    token = _calls.set(None)
    try:
        yield
    finally:
        _calls.reset(token)


def watch(metric: Callable[..., Any], *arrays: Any) -> tuple[Any, list[str]]:
    """Returns the value of a metric, and the names of the marked functions that it called."""
    calls: list[str] = []
    token = _calls.set(calls)
    try:
        return metric(*arrays), calls
    finally:
        _calls.reset(token)
