"""Which samples share a row: planning, on the host, that work follows true lengths.

Sequences of a modality are padded to the longest, T steps. Where most are shorter, the encoder can
take several per row instead (`lddu.packing.layout`): the same batches, the same loss, less work. A
compiled function has fixed shapes, so there are a few numbers of rows to choose from, found on
trial batches; the rare batch that needs more than the largest stays padded.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from lddu.config import ModelConfig
from lddu.packing.structs import Packing, Rows
from lddu.structs import Batch

WORTH = 0.85  # of a padded batch's rows: with more, packing would not pay for moving the steps


def lengths(batch: Batch, config: ModelConfig) -> dict[str, np.ndarray]:
    """name -> (N,) steps up to the last real one, in strides; 0 for a missing modality."""
    found = {}
    for m in config.modalities:
        mask = np.asarray(batch.modalities[m.name].mask)
        last = np.where(mask.any(1), mask.shape[1] - mask[:, ::-1].argmax(1), 0)
        found[m.name] = -(-last * np.asarray(batch.present[m.name]) // m.stride)
    return found


def widths(batch: Batch, config: ModelConfig) -> dict[str, int]:
    """name -> T, the padded number of steps, in strides."""
    return {
        m.name: -(-batch.modalities[m.name].values.shape[1] // m.stride) for m in config.modalities
    }


def first_fit(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs the sequences of each batch into rows, the longest first, each where it first fits.

    Args:
      lengths: (S, B) steps of the sequences of S batches, each at most `width`.
      width: Steps of a row.

    Returns:
      (S, B) slots as in `lddu.packing.structs.Packing`, and (S,) rows that each batch takes, at
      most 11/9 of the fewest possible and a row.

    References:
      Johnson, "Near-Optimal Bin Packing Algorithms", MIT 1973 (first fit decreasing).
    """
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
    """Plans for the batches of one set.

    Attributes:
      sizes: Row counts to choose from, rising: each name -> number of rows of a packed batch, for
        the modalities where packing pays. A batch takes the first that it fits into.
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
          indices: (..., S, B) rows of the set.

        Returns:
          name -> (..., S, B) slots, and (..., S) the number of the size that each batch fits into,
          `len(sizes)` for none.
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
          indices: (..., S, B) rows of the set; the leading axes are ensemble members.
          together: Steps per call.

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
