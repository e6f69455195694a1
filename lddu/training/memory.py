"""Memory that is free but not given back, or given back too early; on Linux with the GNU C library.

A compiled program on CPU takes one block for all its intermediate results, per call, and frees it
after. The C library hands a block of more than 32 MiB back to the kernel at once, and gets it page
by page again, a quarter of a million pages per step of a large model. What compiling took, on the
other hand, stays in the process: half as much as such a step itself needs.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

# Parameters of mallopt(3), as in <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep() -> bool:
    """Keeps freed memory in the process, so that the next call has it again without the kernel.

    On CPU a training step of preset `paper` takes about four fifths of the time. This concerns all
    that the process allocates, and so it is for scripts: call it at the start, before JAX computes
    anything. Calls of compiled functions no longer return before they have run on CPU, because each
    that waits would have a block of its own. GLIBC_TUNABLES and JAX_CPU_ENABLE_ASYNC_DISPATCH in
    the environment can set the same.

    Returns:
      Whether that was done: False elsewhere than on Linux with the GNU C library.
    """
    library = _glibc()
    if library is None:
        return False
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # Large blocks from the heap too, all threads from the same one, which keeps its free end.
    settings = ((_MMAP_MAX, 0), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, -1))  # -1: never
    return all([library.mallopt(*setting) for setting in settings])


def trim() -> bool:
    """Gives free memory back to the system.

    Returns:
      Whether there was any: False elsewhere than on Linux with the GNU C library.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


class Trimmed:
    """A jitted function that compiles for new arguments, trims, and only then runs.

    So that what compiling took and what running takes do not add up.
    """

    def __init__(self, function: Callable[..., Any]):
        """Wraps a function.

        Args:
          function: From `jax.jit`; its first argument keeps its shapes.
        """
        self._function = function
        self._seen: set[tuple[Any, ...]] = set()

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        leaves, structure = jax.tree.flatten(args[1:])
        kind = (structure, *map(np.shape, leaves))
        if kind not in self._seen:
            self._seen.add(kind)
            self._function.lower(*args).compile()  # which the call below finds
            trim()
        return self._function(*args)

    def __getattr__(self, name: str) -> Any:
        """All else is the function's own."""
        return getattr(self._function, name)


def _glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
