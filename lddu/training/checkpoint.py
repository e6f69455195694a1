"""Checkpoints of a run: the latest state, for exact resumption, and the best parameters."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import multihost_utils


class RunFolder:
    """Files of one member's run.

    `metrics.jsonl` has one line per epoch and names the best so far; `state/` holds the latest
    training state, `best/` the parameters of the best epoch. The metrics line is written last, so
    an epoch counts only once all its files are complete.
    """

    def __init__(self, path: str | os.PathLike):
        # Imported here: `import lddu` stays free of orbax.
        from orbax.checkpoint import v1 as ocp

        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self._ocp = ocp
        keep = ocp.training.preservation_policies.LatestN(2)
        self._state = ocp.training.Checkpointer(
            self.path / "state", preservation_policy=keep, cleanup_tmp_directories=True
        )
        self._best = ocp.training.Checkpointer(
            self.path / "best", preservation_policy=keep, cleanup_tmp_directories=True
        )

    @property
    def metrics_path(self) -> Path:
        """Where the metrics lie."""
        return self.path / "metrics.jsonl"

    def history(self) -> list[dict[str, Any]]:
        """The epochs that are complete, from the file; a torn last line does not count."""
        if not self.metrics_path.exists():
            return []
        lines = []
        for line in self.metrics_path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return lines

    def save(self, record: dict[str, Any], state: Any, best: Any | None) -> None:
        """Writes an epoch: its state, its parameters if they are the best so far, its metrics."""
        epoch = record["epoch"]
        if best is not None:
            self._best.save_checkpointables(epoch, {"params": best}, overwrite=True)
        self._state.save_checkpointables(epoch, {"state": _plain(state)}, overwrite=True)
        # All processes write the arrays together, the first one the metrics alone.
        if jax.process_index() == 0:
            lines = [r for r in self.history() if r["epoch"] < epoch] + [record]
            partial = self.metrics_path.with_suffix(".partial")
            partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
            partial.replace(self.metrics_path)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"{self.path} {epoch}")

    def load_state(self, epoch: int, like: Any) -> Any:
        """The training state after `epoch`, in the structure of `like`."""
        loaded = self._state.load_checkpointables(epoch, {"state": _abstract(_plain(like))})
        # Through the host, because orbax ties arrays to their device, and for arrays so tied the
        # training step would be compiled once more.
        saved = jax.tree.map(jnp.asarray, jax.device_get(loaded["state"]))
        leaves, structure = jax.tree.flatten(like)
        return structure.unflatten(
            saved[f"{i:05d}"] if leaf.size else leaf for i, leaf in enumerate(leaves)
        )

    def load_best(self, epoch: int, like: Any) -> Any:
        """The parameters of the best `epoch`, in the structure of `like`."""
        return self._best.load_checkpointables(epoch, {"params": _abstract(like)})["params"]

    def close(self) -> None:
        """Waits for pending writes."""
        self._state.close()
        self._best.close()


def _plain(tree: Any) -> dict[str, Any]:
    """Leaves under numbered names: independent of how optax nests its tuples.

    Without empty arrays (a bank of size 0), which orbax refuses.
    """
    return {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree)) if leaf.size}


def _abstract(tree: Any) -> Any:
    """Shapes, types and placement, as orbax asks for them; it restores JAX arrays only."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
