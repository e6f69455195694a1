"""Checkpoints of a run: the latest state, for exact resumption, and the best parameters."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from lddu.files import (
    Spec,
    check_unchanged,
    checksums,
    converted,
    parse_json,
    read_json,
    write_text,
)
from lddu.training.history import Record

_STATE, _BEST = FOLDERS = ("state", "best")


class _Line(TypedDict):
    """What a line of the metrics must have."""

    member: int
    epoch: int
    best: bool
    valid_nll: float
    valid_micro_f1: float


class RunFolder:
    """The files of one group of members.

    `metrics.jsonl` has one line per member and epoch; `state/` holds the latest training state,
    `best/` the parameters of each member's best epoch, and `checksums.json` the SHA-256 of the
    files in both. The metrics are written last, so that an epoch counts only once all its files
    are complete.
    """

    def __init__(self, path: str | os.PathLike):
        """Opens a folder, or creates it.

        Args:
          path: The folder.

        Raises:
          ValueError: If a checkpoint in it is damaged; names the file.
        """
        # Imported here: `import lddu` stays free of orbax.
        from orbax.checkpoint import v1 as ocp

        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / "checksums.json"
        self._sums = read_json(file, dict[str, dict[str, str]]) if file.exists() else {}
        for name in self._sums:
            if (self.path / name).exists():
                self._check(name)
        keep = ocp.training.preservation_policies.LatestN(2)
        try:
            self._state, self._best = (
                ocp.training.Checkpointer(
                    self.path / name, preservation_policy=keep, cleanup_tmp_directories=True
                )
                for name in FOLDERS
            )
        except Exception as error:  # orbax raises many kinds
            raise self._damaged(error) from error

    @property
    def metrics_path(self) -> Path:
        """The path of the metrics."""
        return self.path / "metrics.jsonl"

    def records(self) -> list[Record]:
        """Reads the records up to the first line that is damaged or does not follow the others."""
        if not self.metrics_path.exists():
            return []
        records: list[Record] = []
        for line in self.metrics_path.read_bytes().splitlines():
            try:
                record = parse_json(line, dict[str, bool | int | float])
                converted({k: record[k] for k in _Line.__annotations__ if k in record}, _Line)
            except ValueError:
                break
            if not _follows(record, records):
                break
            records.append(record)
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
        # All processes write the arrays together; the first one alone writes the rest.
        if jax.process_index() == 0:
            self._note_checksums([_STATE] if best is None else FOLDERS, epoch)
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

        Raises:
          ValueError: If a checkpoint is missing or damaged, or has other arrays.
        """
        saved = self._restore(self._state, _STATE, epoch, {"state": _numbered(state)})["state"]
        leaves, structure = jax.tree.flatten(state)
        state = structure.unflatten(
            saved[f"{i:05d}"] if leaf.size else leaf for i, leaf in enumerate(leaves)
        )
        return state, self._restore(self._best, _BEST, best_epoch, {"params": best})["params"]

    def _restore(self, checkpoints: Any, folder: str, epoch: int, like: Any) -> Any:
        """Reads arrays like those given, unless their files have changed."""
        self._check(f"{folder}/{epoch}")
        try:
            found = _specs(checkpoints.checkpointables_metadata(epoch).metadata)
            for name, spec in (expected := _specs(like)).items():
                if found.get(name) != spec:
                    raise ValueError(f"{name} is {found.get(name, 'missing')}, expected {spec}")
            if more := sorted(found.keys() - expected.keys()):
                raise ValueError(f"it has more arrays, {more[:3]}")
            loaded = checkpoints.load_checkpointables(epoch, jax.tree.map(_abstract, like))
        except Exception as error:  # orbax raises many kinds
            raise self._damaged(error) from error
        return jax.tree.map(jnp.asarray, jax.device_get(loaded))

    def _note_checksums(self, folders: Sequence[str], epoch: int) -> None:
        """Writes the checksums of an epoch, and forgets those of epochs that are gone."""
        kept = {name: sums for name, sums in self._sums.items() if (self.path / name).is_dir()}
        new = {name: checksums(self.path / name) for name in (f"{x}/{epoch}" for x in folders)}
        self._sums = kept | new
        write_text(self.path / "checksums.json", json.dumps(self._sums))

    def _check(self, name: str) -> None:
        try:
            check_unchanged(self.path / name, self._sums.get(name, {}))
            if name not in self._sums:
                raise ValueError(f"{self.path} has no checkpoint {name}")
        except ValueError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path} cannot be continued: {error}. Restore it from a copy, or delete it to "
            "train its members anew"
        )

    def close(self) -> None:
        """Waits for pending writes."""
        self._state.close()
        self._best.close()


def _numbered(tree: Any) -> dict[str, Any]:
    """Names leaves by number, independent of how optax nests its tuples.

    Empty arrays (a bank of size 0), which orbax refuses, are left out.
    """
    return {f"{i:05d}": leaf for i, leaf in enumerate(jax.tree.leaves(tree)) if leaf.size}


def _specs(tree: Any) -> dict[str, Spec]:
    """Returns shapes and types of the leaves, by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): Spec(
            tuple(leaf.shape), np.dtype(leaf.dtype)
        )
        for path, leaf in leaves
    }


def _abstract(x: jax.Array) -> jax.ShapeDtypeStruct:
    """Returns shape, type and placement, as orbax asks for them to restore a JAX array."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _follows(record: Record, before: Sequence[Record]) -> bool:
    """Returns whether a line is of the last epoch, for another member, or of the next epoch."""
    last = before[-1]["epoch"] if before else 0
    if record["epoch"] == last + 1:
        return record["best"] or bool(before)  # a first epoch is the best so far
    members = {other["member"] for other in before if other["epoch"] == last}
    return record["epoch"] == last and record["member"] not in members
