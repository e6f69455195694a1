"""Packing for a stream of batches whose lengths are not known beforehand."""

import math
from collections.abc import Mapping

import numpy as np

from lddu.config import ModelConfig
from lddu.packing.plan import WORTH, first_fit, lengths, widths
from lddu.packing.structs import Packing
from lddu.structs import Batch

_LIGHT = 1e9  # FLOPs of a call below which planning and compiling cost more than packing saves


class StreamPacker:
    """Packs one batch after the other of a stream.

    How many rows are needed is found on what is known beforehand (`look`), else on the first
    batches, which stay padded. From then on there is one packed shape; what does not fit into it is
    padded. So there are two compilations at most, whatever comes, per combination of padded
    lengths.
    """

    def __init__(self, config: ModelConfig, batch_size: int, enabled: bool = True, trial: int = 8):
        """Starts a stream.

        Args:
          config: The configuration of the model.
          batch_size: Rows of every batch.
          enabled: Whether to pack at all.
          trial: Number of batches to look at before packing.
        """
        self._config, self._size, self._trial = config, batch_size, trial
        self._enabled = enabled and config.mask_padding
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
