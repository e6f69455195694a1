"""Checkpoints of a run: the latest state, for exact resumption, and the best parameters."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import multihost_utils

from lddu.files import write_text
from lddu.training.history import Record


class RunFolder:
    """The files of one group of members.

    `metrics.jsonl` has one line per member and epoch; `state/` holds the latest training state,
    `best/` the parameters of each member's best epoch. The metrics are written last, so that an
    epoch counts only once all its files are complete.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens a folder, or creates it.

        Args:
          path: The folder.
        """
        # Imported here: `import lddu` stays free of orbax.
        from orbax.checkpoint import v1 as ocp

        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        keep = ocp.training.preservation_policies.LatestN(2)
        self._state, self._best = (
            ocp.training.Checkpointer(
                self.path / name, preservation_policy=keep, cleanup_tmp_directories=True
            )
            for name in ("state", "best")
        )

    @property
    def metrics_path(self) -> Path:
        """The path of the metrics."""
        return self.path / "metrics.jsonl"

    def records(self) -> list[Record]:
        """Reads the records up to the first damaged line."""
        if not self.metrics_path.exists():
            return []
        records = []
        for line in self.metrics_path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def save(self, records: Sequence[Record], state: Any, best: Any | None) -> None:
        """Writes an epoch: its state, the best parameters if they changed, and the metrics.

        Args:
          records: Records of all epochs up to this one.
          state: Training state after the epoch.
          best: Best parameters of each member, or None if they are those of an earlier epoch.
        """
        epoch = records[-1]["epoch"]
        if best is not None:
            self._best.save_checkpointables(epoch, {"params": best}, overwrite=True)
        self._state.save_checkpointables(epoch, {"state": _numbered(state)}, overwrite=True)
        # All processes write the arrays together; the first one alone writes the metrics.
        if jax.process_index() == 0:
            write_text(self.metrics_path, "".join(json.dumps(r) + "\n" for r in records))
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"{self.path} {epoch}")

    def load(self, epoch: int, best_epoch: int, state: Any, best: Any) -> tuple[Any, Any]:
        """Reads what `save` wrote.

        Args:
          epoch: The epoch of the state.
          best_epoch: The epoch in which the best parameters were written last.
          state: A training state of the same structure.
          best: Parameters of the same structure.

        Returns:
          The state and the best parameters, as arrays that are not tied to any device: for arrays
          that are, the programs of training would be compiled once more.
        """
        loaded = self._state.load_checkpointables(epoch, {"state": _abstract(_numbered(state))})
        saved = jax.tree.map(jnp.asarray, jax.device_get(loaded["state"]))
        leaves, structure = jax.tree.flatten(state)
        state = structure.unflatten(
            saved[f"{i:05d}"] if leaf.size else leaf for i, leaf in enumerate(leaves)
        )
        loaded = self._best.load_checkpointables(best_epoch, {"params": _abstract(best)})
        return state, jax.tree.map(jnp.asarray, jax.device_get(loaded["params"]))

    def close(self) -> None:
        """Waits for pending writes."""
        self._state.close()
        self._best.close()


def _numbered(tree: Any) -> dict[str, Any]:
    """Names leaves by number, independent of how optax nests its tuples.

    Empty arrays (a bank of size 0), which orbax refuses, are left out.
    """
    return {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree)) if leaf.size}


def _abstract(tree: Any) -> Any:
    """Returns shapes, types and placement, as orbax asks for them to restore JAX arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
