"""Descriptions of where the samples and steps of a batch lie."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
from flax import struct

Array = jax.typing.ArrayLike


@struct.dataclass
class Packing:
    """Where the samples of a batch lie when several share a row, for one modality.

    Attributes:
      slots: (B,) int, the place of each sample's first step, counted through the rows of T steps; a
        sample stays within a row. Samples without steps may have any slot.
      rows: Number of rows R. It is part of the shape, so that each number is compiled anew.
    """

    slots: Array
    rows: int = struct.field(pytree_node=False)


@struct.dataclass
class Rows:
    """The rows of a data set that form a batch, and how they are packed.

    Attributes:
      index: (B,) int positions in the data set.
      packing: Modality name -> `Packing` of these rows; other modalities stay padded.
    """

    index: jax.typing.ArrayLike
    packing: Mapping[str, Packing] = struct.field(default_factory=dict)


class Places(NamedTuple):
    """The sample and the step that lie at each place of R rows of T steps.

    Random draws that are keyed by sample and step do not depend on the layout.

    Attributes:
      sample: (R, T) int, or (R, 1) where all steps of a row are of one sample.
      step: (R, T) int, or (1, T) where all rows hold the same steps.
    """

    sample: Array
    step: Array
