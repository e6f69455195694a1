"""Where the samples and steps of a batch lie."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
from flax import struct

Array = jax.typing.ArrayLike


@struct.dataclass
class Packing:
    """A plan of which samples of a batch can share a row, for one modality.

    Attributes:
      slots: (B,) int, the place of each sample's first step, counted through the rows of T steps; a
        sample stays within a row. Samples without steps may have any slot. Dropout is keyed by
        these places, whether or not the plan is carried out.
      rows: Number of rows R if samples share them; None leaves each sample in a row of its own. It
        is part of the shape: a new number is a new compilation.
    """

    slots: Array
    rows: int | None = struct.field(pytree_node=False, default=None)


@struct.dataclass
class Rows:
    """The rows of a data set that make a batch, and how they are packed.

    Attributes:
      index: (B,) int positions in the data set.
      packing: Modality name -> `Packing` of these rows; modalities without a plan stay padded.
    """

    index: jax.typing.ArrayLike
    packing: Mapping[str, Packing] = struct.field(default_factory=dict)


class Places(NamedTuple):
    """The place that each step has in the packing plan of its batch.

    Random draws that are keyed by it do not depend on whether the plan is carried out.

    Attributes:
      row: (R, T) int, or (R, 1) where it is the same for all steps of a row.
      step: (R, T) int place within that row, or (1, T) where it is the same in all rows.
    """

    row: Array
    step: Array
