"""`Packing` and `Rows`: where the samples of a batch lie."""

from collections.abc import Mapping

import jax
from flax import struct

Array = jax.typing.ArrayLike


@struct.dataclass
class Packing:
    """Where the samples of a batch lie when several share a row, for one modality.

    Attributes:
      slots: (B,) int, the place of each sample's first step, counted through the rows of T steps; a
        sample stays within a row. Samples without steps may have any.
      rows: Number of rows R; part of the shape, so that another one is another compilation.
    """

    slots: Array
    rows: int = struct.field(pytree_node=False)


@struct.dataclass
class Rows:
    """Which rows of a set make a batch, and how they are packed.

    Attributes:
      index: (B,) int positions in the set.
      packing: name -> `Packing` of these rows; a modality that is not there stays padded.
    """

    index: jax.typing.ArrayLike
    packing: Mapping[str, Packing] = struct.field(default_factory=dict)
