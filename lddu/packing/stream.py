"""Packing for a stream of batches whose lengths are not known in advance."""

import math
from collections.abc import Mapping

import numpy as np

from lddu.config import ModelConfig
from lddu.packing.plan import WORTH, first_fit, lengths, widths
from lddu.packing.structs import Packing
from lddu.structs import Batch

_LIGHT = 1e9  # largest FLOPs of a call at which planning and compiling cost more than they save


class StreamPacker:
    """A planner of packings for the batches of a stream, one after the other.

    The number of rows is set by samples that are known in advance (`look`), or else by the first
    batches, which stay padded. After that there is one packed shape; a batch that does not fit into
    it stays padded. So each combination of padded lengths is compiled twice at most.
    """

    def __init__(self, config: ModelConfig, batch_size: int, enabled: bool = True, trial: int = 8):
        """Starts a stream.

        Args:
          config: The configuration of the model; without `mask_padding` nothing is packed.
          batch_size: Number of rows of every batch.
          enabled: Whether to pack at all.
          trial: Number of batches that set the number of rows.
        """
        self._config, self._size, self._trial = config, batch_size, trial
        self._enabled = enabled and config.mask_padding
        self._seen: dict[tuple[int, ...], list[dict[str, int]]] = {}
        self._rows: dict[tuple[int, ...], dict[str, int]] = {}

    def look(self, batch: Batch) -> None:
        """Sets the number of rows by samples that are about to come.

        Args:
          batch: Those samples; fewer than `trial` batches of them are ignored.
        """
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
        """Returns the packing of the next batch by modality name; empty if it stays padded."""
        if not self._pays(batch):
            return {}
        wide = widths(batch, self._config)
        key = tuple(wide.values())
        if self._rows.get(key) == {}:  # packing does not pay
            return {}
        fit = {
            name: first_fit(steps[None], wide[name])
            for name, steps in lengths(batch, self._config).items()
        }
        used = {name: int(rows[0]) for name, (_, rows) in fit.items()}
        if key not in self._rows:
            seen = self._seen.setdefault(key, [])
            seen.append(used)
            if len(seen) == self._trial:  # with a margin, as later batches may need more
                needs = {k: np.array([math.ceil(1.02 * need[k]) for need in seen]) for k in wide}
                self._rows[key] = self._choose(wide, needs)
            return {}
        rows = self._rows[key]
        if any(used[name] > n for name, n in rows.items()):
            return {}
        return {name: Packing(fit[name][0][0], n) for name, n in rows.items()}

    def _choose(self, wide: Mapping[str, int], needs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Returns the numbers of rows with the least mean work, if batches over them stay padded.

        They are multiples of a thirty-second of the batch, so that similar data share the shape.
        """
        part = max(self._size // 32, 1)
        need = part * np.ceil(np.stack([needs[name] for name in wide], -1) / part)
        rows = np.quantile(need, np.linspace(0.5, 1, 17), axis=0, method="higher")
        rows = np.where(rows > WORTH * self._size, self._size, np.maximum(rows, part))
        steps = np.array(list(wide.values()))
        fits = (need[:, None] <= rows).all(-1)  # (batches, choices)
        work = np.where(fits, rows @ steps, self._size * steps.sum()).mean(0)
        best = zip(wide, rows[work.argmin()], strict=True)
        return {name: int(n) for name, n in best if n < self._size}

    def _pays(self, batch: Batch) -> bool:
        steps = self._size * sum(widths(batch, self._config).values())
        work = steps * self._config.encoder.flops_per_step
        return self._enabled and work > _LIGHT
