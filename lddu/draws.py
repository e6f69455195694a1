"""Random draws that do not depend on vectorisation."""

from collections.abc import Callable

import jax
from jax import Array


def unbatched(draw: Callable[[Array], Array], key: Array) -> Array:
    """Draws random numbers that are the same with and without `jax.vmap`.

    Under `jax.vmap`, JAX's RBG generator draws the numbers of all keys from the first one. Here
    each key draws its own, one after the other, as it would alone.

    Args:
      draw: Function of a PRNG key alone.
      key: PRNG key.

    Returns:
      What `draw(key)` returns.
    """
    one = jax.custom_batching.custom_vmap(draw)

    @one.def_vmap
    def _(size: int, batched: list[bool], keys: Array) -> tuple[Array, bool]:
        del size, batched
        # By `unbatched` again, for keys that are vectorised more than once.
        return jax.lax.map(lambda key: unbatched(draw, key), keys), True

    return one(key)
