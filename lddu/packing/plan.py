"""Planning, on the host, which samples of a batch share a row of the encoder.

Sequences of a modality are padded to the longest, T steps. Where most are shorter, the encoder can
take several per row instead (`lddu.packing.layout`): the same batches, the same loss, less work.
Shapes of a compiled function are fixed, so there are a few numbers of rows to choose from, set by
trial batches; a batch that needs more than the largest stays padded.
"""

import math
from collections.abc import Iterator, Sequence

import chex
import numpy as np

from lddu.config import ModelConfig
from lddu.packing.structs import Packing, Rows
from lddu.structs import Batch

WORTH = 0.85  # largest share of a padded batch's rows with which packing pays for moving steps


def lengths(batch: Batch, config: ModelConfig) -> dict[str, np.ndarray]:
    """Returns the lengths of all sequences of a batch.

    Args:
      batch: A batch of N samples.
      config: The configuration of the model.

    Returns:
      Modality name -> (N,) number of strides up to the last real step; 0 for a missing modality.
    """
    strides = {}
    for m in config.modalities:
        mask = np.asarray(batch.modalities[m.name].mask)
        last = np.where(mask.any(1), mask.shape[1] - mask[:, ::-1].argmax(1), 0)
        strides[m.name] = -(-last * np.asarray(batch.present[m.name]) // m.stride)
    return strides


def widths(batch: Batch, config: ModelConfig) -> dict[str, int]:
    """Returns the padded length of each modality of a batch.

    Args:
      batch: A batch.
      config: The configuration of the model.

    Returns:
      Modality name -> T, the padded number of strides.
    """
    return {
        m.name: -(-batch.modalities[m.name].values.shape[1] // m.stride) for m in config.modalities
    }


def first_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs the sequences of each batch into rows, the longest first, each where it first fits.

    Args:
      lengths: (S, B) number of steps of the B sequences of S batches, each at most `width`.
      width: Number of steps of a row.

    Returns:
      (S, B) slots as in `lddu.packing.structs.Packing`, and the (S,) numbers of rows that the
      batches take: at most 11/9 of the fewest possible, plus one.

    Example:
      >>> import numpy as np
      >>> slots, rows = first_fit(np.array([[2, 4, 1, 3]]), width=5)
      >>> slots.tolist(), rows.tolist()
      ([[8, 0, 4, 5]], [2])

    References:
      Johnson, "Near-Optimal Bin Packing Algorithms", MIT 1973 (first fit decreasing).
    """
    chex.assert_rank(lengths, 2)
    batches, size = lengths.shape
    falling = np.argsort(-lengths, axis=1, kind="stable")
    free = np.full((batches, size), width)
    slots = np.zeros((batches, size), np.int32)
    each = np.arange(batches)
    for i in range(size):  # over the samples of a batch, for all batches at once
        sample = falling[:, i]
        steps = lengths[each, sample]
        row = (free >= steps[:, None]).argmax(1)
        slots[each, sample] = row * width + width - free[each, row]
        free[each, row] -= steps
    return slots, (free < width).sum(1)


class Packer:
    """A planner of packings for the batches of one data set.

    Attributes:
      sizes: Sizes of a packed batch to choose from, in rising order, each modality name -> number
        of rows, for the modalities where packing pays. A batch takes the first that it fits into.
    """

    def __init__(
        self,
        batch: Batch,
        config: ModelConfig,
        trial: np.ndarray,
        quantiles: Sequence[float] = (1.0,),
        carried_out: bool = True,
    ):
        """Finds how many rows the batches of a data set need.

        Args:
          batch: The data set.
          config: The configuration of the model; without `mask_padding` nothing is planned.
          trial: (S, B) rows of the set, batches like those to come; with S = 0 nothing is planned.
          quantiles: Rising quantiles of the rows that those batches need, one for each size. Each
            size is another compilation, and saves work for the batches that fit into it.
          carried_out: Whether samples share rows as planned, or only dropout is keyed by the plan.
        """
        self._carried_out = carried_out
        self._widths = widths(batch, config)
        packed = config.mask_padding and len(trial) > 0
        self._lengths = lengths(batch, config) if packed else {}
        needs = {
            name: first_fit(steps[trial], self._widths[name])[1]
            for name, steps in self._lengths.items()
        }
        most = {name: max(math.ceil(1.05 * need.max()), 1) for name, need in needs.items()}
        needs = {k: need for k, need in needs.items() if most[k] <= WORTH * trial.shape[1]}
        self.sizes = [
            {
                name: most[name] if q == 1 else max(math.ceil(np.quantile(need, q)), 1)
                for name, need in needs.items()
            }
            for q in quantiles
        ]

    def plan(self, indices: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Packs batches.

        Args:
          indices: (..., S, B) positions in the data set.

        Returns:
          Modality name -> (..., S, B) slots, and (..., S) the index in `sizes` of the first size
          that each batch fits into, `len(sizes)` where it fits into none.
        """
        flat = indices.reshape(-1, indices.shape[-1])
        slots, level = {}, np.zeros(len(flat), int)
        for name in self.sizes[0]:
            places, used = first_fit(self._lengths[name][flat], self._widths[name])
            slots[name] = places.reshape(indices.shape)
            level = np.maximum(level, np.searchsorted([size[name] for size in self.sizes], used))
        return slots, level.reshape(indices.shape[:-1])

    def calls(self, indices: np.ndarray, together: int = 1) -> Iterator[tuple[Rows, slice | int]]:
        """Divides the steps of an epoch into calls of a compiled function.

        Args:
          indices: (..., S, B) positions in the data set for S steps; the leading axes are ensemble
            members.
          together: Number of steps per call.

        Yields:
          `Rows` of (..., together, B), each with the slice of steps that it stands for; then, step
          by step, those that are left over, (..., B) with their number. A call has the size that
          all its batches fit into, or its batches stay padded.
        """
        slots, level = self.plan(indices)
        # Batches too large for any size are keyed as if they had no plan.
        fits = level[..., None] < len(self.sizes)
        unplanned = {
            k: np.arange(indices.shape[-1], dtype=np.int32) * self._widths[k] for k in slots
        }
        slots = {name: np.where(fits, x, unplanned[name]) for name, x in slots.items()}
        level = level.reshape(-1, level.shape[-1]).max(0)
        steps = indices.shape[-2]
        whole = steps - steps % together if together > 1 else 0
        parts = [slice(first, first + together) for first in range(0, whole, together)]
        for at in [*parts, *range(whole, steps)]:
            size = (*self.sizes, {})[level[at].max()] if self._carried_out else {}
            packing = {name: Packing(x[..., at, :], size.get(name)) for name, x in slots.items()}
            yield Rows(indices[..., at, :], packing), at
