"""Where the steps of a batch lie while they are encoded: padded, or packed into fewer rows.

The cost of padded sequences, (B, T), grows with the longest one. Packed, several samples share a
row of T steps, (R, T) with R < B: operations on single steps do not change, and attention is
limited to the steps of the same sample. Both layouts have the same methods, so that modules need
not know which one they work on.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.packing.structs import Packing, Places


class Padded(NamedTuple):
    """One row per sample.

    Attributes:
      mask: (B, T) bool, True at real steps.
      slots: (B,) slots of a plan that is not carried out, or None.
    """

    mask: Array
    slots: Array | None = None

    @property
    def attention_mask(self) -> Array:
        """(B, T) bool: the steps that any step of the same row may attend to."""
        return self.mask

    @property
    def places(self) -> Places:
        """The place of each step in the packing plan; without one, its row and step number."""
        rows, steps = self.mask.shape
        if self.slots is None:
            return Places(jnp.arange(rows)[:, None], jnp.arange(steps)[None])
        row, first = jnp.divmod(self.slots[:, None], steps)
        return Places(row, first + jnp.arange(steps))

    def pack(self, x: Array) -> Array:
        """Returns (B, T, ...) unchanged."""
        return x

    def unpack(self, x: Array) -> Array:
        """Returns (B, T, ...) unchanged."""
        return x

    def positions(self, table: Array) -> Array:
        """Returns (T, D): the row of a position table for each step."""
        return table[: self.mask.shape[1]]


class Packed:
    """Several samples per row, laid out by a `Packing`."""

    def __init__(self, mask: Array, packing: Packing):
        """Derives the indices of both directions.

        Args:
          mask: (B, T) bool, True at real steps.
          packing: Slots of these samples, each long enough for its last real step.
        """
        self._shape = mask.shape
        samples, steps = mask.shape
        size = packing.rows * steps
        # Up to the last real step, so that gaps inside a sequence stay where they are.
        here = jnp.flip(jnp.cumsum(jnp.flip(mask, 1), 1), 1) > 0
        target = packing.slots[:, None] + jnp.arange(steps)
        target = jnp.where(here, target, size).ravel()
        numbers = jnp.arange(samples * steps)
        source = jnp.full(size, -1).at[target].set(numbers, mode="drop")
        self._there = (jnp.maximum(source, 0), source >= 0)
        self._back = (jnp.minimum(target, size - 1), here.ravel())
        self._rows = (packing.rows, steps)
        sample = jnp.where(source >= 0, source // steps, -1).reshape(self._rows)
        self.places = Places(jnp.arange(packing.rows)[:, None], jnp.arange(steps)[None])
        real = self.pack(mask)
        self.attention_mask = (sample[:, :, None] == sample[:, None, :]) & real[:, None, :]

    def pack(self, x: Array) -> Array:
        """Moves (B, T, ...) to (R, T, ...), zero where no sample lies."""
        return self._move(x, self._there, self._back).reshape(*self._rows, *x.shape[2:])

    def unpack(self, x: Array) -> Array:
        """Moves (R, T, ...) to (B, T, ...), zero beyond a sample's last real step."""
        return self._move(x, self._back, self._there).reshape(*self._shape, *x.shape[2:])

    def positions(self, table: Array) -> Array:
        """Returns (R, T, D): the row of a position table for each step."""
        steps = self._shape[1]
        return self.pack(jnp.broadcast_to(table[:steps], (*self._shape, *table.shape[1:])))

    @staticmethod
    def _move(x: Array, there: tuple[Array, Array], back: tuple[Array, Array]) -> Array:
        return _gather(x.reshape(-1, *x.shape[2:]), there, back)


def lay_out(mask: Array, packing: Packing | None) -> Padded | Packed:
    """Returns the layout of samples with real steps where `mask` (B, T) is True."""
    if packing is None:
        return Padded(mask)
    return Padded(mask, packing.slots) if packing.rows is None else Packed(mask, packing)


@functools.partial(jax.custom_vjp, nondiff_argnums=())
def _gather(x: Array, there: tuple[Array, Array], back: tuple[Array, Array]) -> Array:
    """Gathers rows of `x`, zero where `there` marks none.

    `there` and `back` are pairs (index of the source of each row, whether it has one); `back` maps
    the other way and is used by the backward pass.
    """
    index, valid = there
    return jnp.where(valid.reshape(-1, *[1] * (x.ndim - 1)), x[index], jnp.zeros((), x.dtype))


def _gather_forward(x, there, back):
    return _gather(x, there, back), (there, back)


def _gather_backward(indices, cotangent):
    # Each row has one destination at most, so the adjoint is a gather, where JAX would scatter.
    there, back = indices
    return _gather(cotangent, back, there), None, None


_gather.defvjp(_gather_forward, _gather_backward)
