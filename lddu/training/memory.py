"""Freed memory of the process: keeping it for the next call, and giving it back.

This concerns Linux with the GNU C library. A compiled program on CPU allocates one block for all
its intermediate results in each call and frees it afterwards. The C library returns a block of more
than 32 MiB to the kernel at once, and gets it back page by page in the next call. The memory that
compiling took, on the other hand, stays in the process.
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
    """Keeps freed memory in the process, so that the next call need not ask the kernel for it.

    Makes training steps of large models on CPU faster. It affects everything that the process
    allocates, and is therefore for scripts: call it at the start, before JAX computes anything.
    Compiled functions on CPU then return only after they have run, because each pending call would
    have a block of its own. GLIBC_TUNABLES and JAX_CPU_ENABLE_ASYNC_DISPATCH in the environment can
    set the same.

    Returns:
      Whether the setting was made; False on other systems than Linux with the GNU C library.
    """
    library = _glibc()
    if library is None:
        return False
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # Large blocks come from the heap too, which all threads share and which keeps its free end.
    settings = ((_MMAP_MAX, 0), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, -1))  # -1: never
    return all([library.mallopt(*setting) for setting in settings])


def trim() -> bool:
    """Gives freed memory back to the system.

    Returns:
      Whether there was any; False on other systems than Linux with the GNU C library.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


class Trimmed:
    """A jitted function that gives memory back between compiling for new shapes and running.

    The memory that compiling took and the memory that running takes then do not add up.

    Attributes:
      jitted: The function itself.
    """

    def __init__(self, jitted: Callable[..., Any]):
        """Wraps a function.

        Args:
          jitted: Function from `jax.jit`, whose first argument keeps its shapes.
        """
        self.jitted = jitted
        self._shapes: set[tuple[Any, ...]] = set()

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        leaves, structure = jax.tree.flatten(args[1:])
        shapes = (structure, *map(np.shape, leaves))
        if shapes not in self._shapes:
            self._shapes.add(shapes)
            self.jitted.lower(*args).compile()  # the call below reuses it
            trim()
        return self.jitted(*args)


def _glibc() -> Any:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None
