"""Whose code a warning is about."""

import sys

_PASSED_OVER = ("lddu.", "contextlib", "functools")


def level() -> int:
    """Returns the `stacklevel` with which a warning points at the code that called the library."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].startswith(_PASSED_OVER):
        depth, frame = depth + 1, frame.f_back
    return depth
