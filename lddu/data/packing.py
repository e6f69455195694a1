"""Which samples share a row: planning, on the host, that work follows true lengths.

Sequences of a modality are padded to the longest, T steps. Where most are shorter, the encoder can
take several per row instead (`lddu.nn.layout`): the same batches, the same loss, less work. As a
compiled function has fixed shapes, there are a few numbers of rows to choose from, found on trial
batches; the rare batch that needs more than the largest stays padded.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from flax import struct

from lddu.config import ModelConfig
from lddu.structs import Batch, Packing

_LIGHT = 1e9  # FLOPs of a call below which planning and compiling cost more than packing saves
_WORTH = 0.85  # of a padded batch's rows: with more, packing would not pay for moving the steps


@struct.dataclass
class Rows:
    """Which rows of a set make a batch, and how they are packed.

    Attributes:
      index: (B,) int positions in the set.
      packing: name -> `Packing` of these rows; a modality that is not there stays padded.
    """

    index: jax.typing.ArrayLike
    packing: Mapping[str, Packing] = struct.field(default_factory=dict)


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
      (S, B) slots as in `lddu.structs.Packing`, and (S,) rows that each batch takes, at most 11/9
      of the fewest possible and a row.

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
    ):
        """Finds how many rows the set's batches need.

        Args:
          batch: The set.
          config: Of the model; without `mask_padding` nothing is packed.
          trial: (S, B) rows of the set, batches like those to come; with S = 0 nothing is packed.
          quantiles: Of the needs of those batches, rising, one for each size. Another size is
            another compilation, and less work for the batches that fit into it.
        """
        self._widths = widths(batch, config)
        packing = config.mask_padding and len(trial)
        self._lengths = lengths(batch, config) if packing else {}
        needs = {
            name: first_fit(steps[trial], self._widths[name])[1]
            for name, steps in self._lengths.items()
        }
        most = {name: max(math.ceil(1.05 * need.max()), 1) for name, need in needs.items()}
        needs = {k: need for k, need in needs.items() if most[k] <= _WORTH * trial.shape[1]}
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
          all its batches fit into, or no packing.
        """
        slots, level = self.plan(indices)
        level = level.reshape(-1, level.shape[-1]).max(0)
        steps = indices.shape[-2]
        whole = steps - steps % together if together > 1 else 0
        parts = [slice(first, first + together) for first in range(0, whole, together)]
        for at in [*parts, *range(whole, steps)]:
            fits = [size for i, size in enumerate(self.sizes) if i >= level[at].max()]
            size = fits[0] if fits else {}
            packing = {name: Packing(slots[name][..., at, :], rows) for name, rows in size.items()}
            yield Rows(indices[..., at, :], packing), at


class StreamPacker:
    """Packs one batch after the other of a stream.

    How many rows are needed is found on what is known beforehand (`look`), else on the first
    batches, which stay padded. From then on there is one packed shape; what does not fit into it is
    padded. So there are two compilations at most, whatever comes, per combination of padded
    lengths.
    """

    def __init__(self, config: ModelConfig, batch_size: int, trial: int = 8):
        """Starts a stream.

        Args:
          config: Of the model.
          batch_size: Rows of every batch.
          trial: Batches to look at before packing.
        """
        self._config, self._size, self._trial = config, batch_size, trial
        self._seen: dict[tuple[int, ...], list[dict[str, int]]] = {}
        self._rows: dict[tuple[int, ...], dict[str, int]] = {}

    def look(self, batch: Batch) -> None:
        """Looks at rows that are about to come; too few to tell their needs are ignored."""
        count = batch.size // self._size
        if not self._pays(batch) or count < self._trial:
            return
        wide = widths(batch, self._config)
        if tuple(wide.values()) not in self._rows:
            needs = {
                name: first_fit(x[: count * self._size].reshape(count, -1), wide[name])[1]
                for name, x in lengths(batch, self._config).items()
            }
            self._rows[tuple(wide.values())] = self._choose(wide, needs)

    def __call__(self, batch: Batch) -> dict[str, Packing]:
        """The packing of the next batch; empty if it is to stay padded."""
        if not self._pays(batch):
            return {}
        wide = widths(batch, self._config)
        key = tuple(wide.values())
        if self._rows.get(key) == {}:  # known not to be worth it
            return {}
        fit = {
            name: first_fit(steps[None], wide[name])
            for name, steps in lengths(batch, self._config).items()
        }
        used = {name: int(rows[0]) for name, (_, rows) in fit.items()}
        if key not in self._rows:
            seen = self._seen.setdefault(key, [])
            seen.append(used)
            if len(seen) == self._trial:  # with a margin, as so few do not tell all needs
                needs = {k: np.array([math.ceil(1.02 * need[k]) for need in seen]) for k in wide}
                self._rows[key] = self._choose(wide, needs)
            return {}
        rows = self._rows[key]
        if any(used[name] > n for name, n in rows.items()):
            return {}
        return {name: Packing(fit[name][0][0], n) for name, n in rows.items()}

    def _choose(self, wide: Mapping[str, int], needs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Rows for the least work in the mean, where a batch that needs more stays padded.

        In steps of a thirty-second, so that other data may share the shape.
        """
        part = max(self._size // 32, 1)
        need = part * np.ceil(np.stack([needs[name] for name in wide], -1) / part)
        rows = np.quantile(need, np.linspace(0.5, 1, 17), axis=0, method="higher")
        rows = np.where(rows > _WORTH * self._size, self._size, np.maximum(rows, part))
        steps = np.array(list(wide.values()))
        fits = (need[:, None] <= rows).all(-1)  # (batches, choices)
        work = np.where(fits, rows @ steps, self._size * steps.sum()).mean(0)
        best = zip(wide, rows[work.argmin()], strict=True)
        return {name: int(n) for name, n in best if n < self._size}

    def _pays(self, batch: Batch) -> bool:
        work = encoder_flops(self._size, widths(batch, self._config), self._config)
        return self._config.mask_padding and work > _LIGHT


def encoder_flops(size: int, widths: Mapping[str, int], config: ModelConfig) -> float:
    """Roughly what the encoders' layers compute for a padded batch."""
    cfg = config.encoder
    per_step = cfg.layers * cfg.hidden * (8.0 * cfg.hidden + 4.0 * cfg.feed_forward)
    return size * sum(widths.values()) * per_step
