"""Training of all ensemble members at once: one vectorised step, on one device or several."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lddu.config import Config
from lddu.structs import Batch
from lddu.training.checkpoint import RunFolder
from lddu.training.memory import Trimmed
from lddu.training.setup import (
    Record,
    Setup,
    Trained,
    best,
    epoch_means,
    require_finite,
    show,
    stopped,
)
from lddu.training.sharding import (
    DATA,
    MEMBERS,
    member_mesh,
    split_probs,
    split_step,
    training_devices,
)
from lddu.training.step import build_probs, build_step, in_batches, scanned


class EnsembleTrainer(Setup):
    """Trains the members of one configuration at the same time, so that an accelerator is busy.

    A step is `jax.vmap` of `Trainer`'s over members. Every member has the initial weights, the
    order of examples, the choice of the epoch and the early stopping that it would have alone; a
    member that has stopped is still computed, but no longer recorded, until the last one stops.
    Dropout is what it would have alone too, but feature noise, hidden modalities and samples are
    not, and differ with the number of members and groups: `jax.vmap` draws RBG bits for all members
    from one key.

    Several devices form a mesh ("members", "data"): as many groups as divide the number of
    members, each with as many devices as divide the batch size, such that most devices are used
    (`lddu.training.sharding.mesh_shape`). A group holds an equal number of members and does not
    communicate with others. Its devices hold the same members and all of the data, and share the
    rows of every batch, which changes results by rounding only.
    """

    def __init__(
        self,
        config: Config,
        train: Batch,
        valid: Batch,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Puts the data on the devices.

        Args:
          config: The run's configuration.
          train: Raw training rows, labelled; hard or soft targets.
          valid: Raw validation rows with hard labels.
          devices: Where to train; None for what `config.train.devices` says.

        Raises:
          ValueError: If there are several processes.
        """
        if jax.process_count() > 1:
            raise ValueError(
                "members train at the same time within one process only; take "
                "parallel_members='never'"
            )
        if devices is None:
            devices = training_devices(config.train.devices) or jax.local_devices()[:1]
        mesh = member_mesh(config.train.members, config.train.batch_size, devices)
        self._sharding = NamedSharding(mesh, PartitionSpec(MEMBERS))
        super().__init__(config, train, valid, mesh)
        step = split_step(build_step(config, self._optimizer, self.normalizer), mesh)
        axes = (0, None, 0, None, 0)
        self._step = Trimmed(over_members(step, mesh, axes, donate=True))
        self._steps = Trimmed(over_members(scanned(step), mesh, axes, donate=True))
        probs = split_probs(build_probs(config, self.normalizer), mesh)
        probs = over_members(probs, mesh, (0, None, None))
        size = min(256, valid.size)
        self._evaluate = in_batches(probs, config, self._valid, size, mesh.shape[DATA])
        self._keep = over_members(_choose, mesh, (0, 0, 0), donate=True)

    def run(self, folder: str | os.PathLike | None = None, progress: bool = True) -> list[Trained]:
        """Trains all members.

        Args:
          folder: Where to keep metrics and checkpoints of the whole group; a run that was killed
            continues from its last complete epoch, to the same result. None keeps nothing.
          progress: Whether to show a bar with the loss and the validation scores, means over the
            members that have not stopped.

        Returns:
          One `Trained` per member, as `Trainer.run` gives them.

        Raises:
          FloatingPointError: If the loss of a member that has not stopped is no longer finite; says
            of which member, in which epoch.
        """
        cfg = self.config.train
        state, order_keys, step_keys = self._start_all()
        # A copy, because a step donates the state's buffers.
        kept = jax.tree.map(jnp.copy, state.eval_params)
        files = RunFolder(folder) if folder is not None else None
        lines = files.history() if files else []
        histories = _histories(lines, cfg.members)
        if lines:
            last_best = max(line["epoch"] for line in lines if line["best"])
            loaded = (
                files.load_state(lines[-1]["epoch"], state),
                jax.device_get(files.load_best(last_best, kept)),
            )
            state, kept = jax.device_put(loaded, self._sharding)

        with self._bar(f"{cfg.members} members", len(lines), progress) as bar:
            while len(lines) < cfg.epochs and (running := self._running(histories)):
                epoch = len(lines) + 1
                began = time.perf_counter()
                index, weights = zip(*(self._order(k, epoch) for k in order_keys), strict=True)
                measured = []
                # The weights of all members are the same: only the last step has filler rows.
                calls = self._packer.calls(np.stack(index), cfg.steps_per_dispatch)
                for rows, at in calls:
                    run = self._steps if isinstance(at, slice) else self._step
                    state, terms = run(state, self._train, rows, weights[0][at], step_keys)
                    measured.append(terms)
                    bar.update(np.size(terms["rows"]) // cfg.members)
                # The only host sync of the epoch's steps.
                steps = jax.device_get(measured)
                scores = self._validate(state.eval_params, running)
                records = {}
                for k in running:
                    means = epoch_means([{name: x[k] for name, x in s.items()} for s in steps])
                    records[k] = {"epoch": epoch, **means, **scores[k]}
                    require_finite(records[k], k)
                seconds = (time.perf_counter() - began) / len(running)
                better = np.zeros(cfg.members, bool)
                for k, record in records.items():
                    record["seconds"] = seconds
                    histories[k].append(record)
                    better[k] = record["best"] = best(histories[k], cfg.monitor) is record
                kept = self._keep(kept, state.eval_params, better)
                line = {
                    "epoch": epoch,
                    "best": bool(better.any()),
                    "members": [{"member": k, **record} for k, record in records.items()],
                }
                lines.append(line)
                if files:
                    files.save(line, state, kept if line["best"] else None)
                show(bar, list(records.values()))
        if files:
            files.close()
        # Through the host, so that predictions are not tied to the devices of the training.
        kept = jax.device_put(jax.device_get(kept))
        return [
            Trained(jax.tree.map(lambda x, k=k: x[k], kept), h, best(h, cfg.monitor)["epoch"])
            for k, h in enumerate(histories)
        ]

    def _start_all(self) -> tuple[Any, list[jax.Array], jax.Array]:
        """Stacked states, order keys, stacked step keys: what each member would have alone."""
        states, order_keys, step_keys = zip(
            *(self._start(k) for k in range(self.config.train.members)), strict=True
        )
        state = jax.tree.map(lambda *x: jnp.stack(x), *states)
        state, step_keys = jax.device_put((state, jnp.stack(step_keys)), self._sharding)
        return state, list(order_keys), step_keys

    def _running(self, histories: list[list[Record]]) -> list[int]:
        """The members that have not stopped."""
        cfg = self.config.train
        return [k for k, h in enumerate(histories) if not stopped(h, cfg.monitor, cfg.patience)]

    def _validate(self, params: Any, members: list[int]) -> dict[int, dict[str, float]]:
        probs = self._evaluate(params)
        return {k: self._scores(probs[k]) for k in members}


def over_members(
    function: Callable, mesh: Mesh, in_axes: tuple[int | None, ...], donate: bool = False
) -> Callable:
    """Vectorises and compiles a function of one member.

    Args:
      function: Of positional arguments, pytrees of arrays.
      mesh: From `member_mesh`.
      in_axes: Per argument 0 where members have their own, stacked, or None where they share one.
      donate: Whether the first argument is donated.

    Returns:
      The jitted function; every leaf of its result has a leading axis of members.
    """
    specs = tuple(PartitionSpec() if axis is None else PartitionSpec(MEMBERS) for axis in in_axes)
    # By `shard_map` each group runs its members as a program of its own. Partitioned by the
    # compiler instead, random draws would make the groups wait for each other. Only the rows of a
    # group's batches are left to the compiler, and nothing where a group is one device.
    manual = set(mesh.axis_names) if mesh.shape[DATA] == 1 else {MEMBERS}
    mapped = jax.shard_map(
        jax.vmap(function, in_axes=in_axes),
        mesh=mesh,
        in_specs=specs,
        out_specs=PartitionSpec(MEMBERS),
        axis_names=manual,
        check_vma=False,
    )
    return jax.jit(
        mapped,
        in_shardings=tuple(NamedSharding(mesh, spec) for spec in specs),
        out_shardings=NamedSharding(mesh, PartitionSpec(MEMBERS)),
        donate_argnums=0 if donate else (),
    )


def _choose(old: Any, new: Any, better: jax.Array) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(better, b, a), old, new)


def _histories(lines: list[Record], members: int) -> list[list[Record]]:
    """Histories by member from the group's lines, of which each holds one epoch of all."""
    histories = [[] for _ in range(members)]
    for line in lines:
        for record in line["members"]:
            histories[record["member"]].append(
                {name: value for name, value in record.items() if name != "member"}
            )
    return histories
