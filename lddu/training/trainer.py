"""The training loop: epochs, validation, early stopping and resumption of a group of members."""

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.callbacks.callback import Callback, Several, Start
from lddu.config import Config
from lddu.data.batching import order
from lddu.data.labels import base_rate
from lddu.data.normalize import fit_normalizer
from lddu.packing.plan import Packer
from lddu.structs import Batch
from lddu.training.checkpoint import RunFolder
from lddu.training.history import History, Record, epoch_means
from lddu.training.optimizer import build_optimizer
from lddu.training.programs import over_data_set, packs, training_programs
from lddu.training.progress import Progress
from lddu.training.sharding import MEMBERS, place, require_same, training_devices, training_mesh
from lddu.training.state import TrainState, create_state
from lddu.training.step import Resident
from lddu.training.validation import validation_scores


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained member.

    Attributes:
      params: Parameters of the epoch that validation chose.
      history: One record per epoch: member, epoch, seconds, train_<term>, valid_nll,
        valid_micro_f1, best. Members that train at the same time share an epoch's seconds evenly.
      best_epoch: The chosen epoch, counted from 1.
    """

    params: Any
    history: list[Record]
    best_epoch: int


class Trainer:
    """Trains members in groups of one size, compiling once for all groups.

    A group of several members is one vectorised program, so that an accelerator is busy. Every
    member has the initial weights, the order of examples, the random draws, the choice of the epoch
    and the early stopping that it would have alone; a member that has stopped is still computed,
    but no longer recorded, until the last one stops.

    On several devices groups of them train some of the members each, and the devices of a group
    share the rows of every batch; as many devices are used as can be divided equally.
    """

    def __init__(
        self,
        config: Config,
        train: Batch,
        valid: Batch,
        *,
        together: int = 1,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Puts the data on the devices; on one CPU mapped files stay where they are.

        Args:
          config: The configuration of the run.
          train: Raw training rows with labels, hard or soft, NaN where unknown.
          valid: Raw validation rows with labels, NaN where unknown.
          together: Number of members in a group.
          devices: Devices to train on; None for those that `config.execution.devices` allows.

        Raises:
          ValueError: If members or rows cannot be divided among processes, or processes hold
            different data.
        """
        self.config = config
        self.normalizer = fit_normalizer(train)
        cfg = config.train
        if devices is None:
            devices = training_devices(config.execution.devices)
        self.mesh = training_mesh(together, cfg.batch_size, devices)
        require_same(train, valid)
        self._together = together
        self._rows, self._steps_per_epoch = train.size, math.ceil(train.size / cfg.batch_size)
        total = cfg.epochs * self._steps_per_epoch
        self._optimizer = build_optimizer(cfg, total)
        self._base_rate = base_rate(train.labels, train.weight)
        self._example = jax.tree.map(lambda x: np.asarray(x[:1]), train)
        self._valid_truth = (
            np.asarray(valid.labels),
            None if valid.weight is None else np.asarray(valid.weight),
        )
        self._train, valid = place(
            (Resident(train, self.normalizer), Resident(valid, self.normalizer)), self.mesh
        )
        # A fixed sample of batches, so that a run that is continued has the same plans.
        trial = np.random.default_rng(0).integers(train.size, size=(256, cfg.batch_size))
        # A second size takes as long to compile as a few hundred steps save.
        quantiles = (0.75, 1.0) if total >= 2000 else (1.0,)
        packed = packs(config, self.mesh)
        self._packer = Packer(train, config.model, trial, quantiles, carried_out=packed)
        self.programs = training_programs(config, total, together, self.mesh)
        self._evaluate = over_data_set(self.programs.forward, config, valid, self.mesh)

    def run(
        self,
        members: Sequence[int] = (0,),
        folder: str | os.PathLike | None = None,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> list[Trained]:
        """Trains a group of members.

        Args:
          members: Their numbers; with `config.train.seed`, a number determines all randomness.
          folder: Where to keep metrics and checkpoints of the group. A run that was killed
            continues from its last complete epoch, to the same result. None keeps nothing.
          progress: Whether to show how far the training is, and its scores.
          callbacks: Hooks, which of several processes the first one calls.

        Returns:
          One `Trained` per member.

        Raises:
          ValueError: If the number of members is not that of a group.
          FloatingPointError: If the loss of a member that has not stopped is not finite; says of
            which member, in which epoch.
        """
        if len(members) != self._together:
            raise ValueError(
                f"{len(members)} members given, but this trainer trains groups of {self._together}"
            )
        state, order_keys, step_keys = self._start(members)
        # A copy, because a step donates the buffers of the state.
        kept = jax.tree.map(jnp.copy, state.eval_params)
        files = RunFolder(folder) if folder is not None else None
        history = History(members, self.config.train, files.records() if files else ())
        if history.epoch:
            loaded = files.load(history.epoch, history.last_best, state, kept)
            state, kept = place(loaded, self.mesh, MEMBERS)
        shown = [Progress()] if progress else []
        hooks = Several([] if jax.process_index() else [*shown, *callbacks])
        where = files.path if files else None
        hooks.start(Start(self.config, tuple(members), history.epoch, self._steps_per_epoch, where))
        while running := history.running():
            epoch, began = history.epoch + 1, time.perf_counter()
            state, steps = self._epoch(state, epoch, order_keys, step_keys, hooks)
            means = epoch_means(steps)
            probs = self._evaluate(state.eval_params)
            seconds = (time.perf_counter() - began) / len(running)
            records = []
            for k in running:
                row = members.index(k)
                scores = validation_scores(probs[row], *self._valid_truth)
                record = {"member": k, "epoch": epoch, **means[row], **scores}
                history.add({**record, "seconds": seconds})
                records.append(history.records[-1])
            best = [record["member"] for record in records if record["best"]]
            kept = self.programs.keep(kept, state.eval_params, np.isin(members, best))
            if files:
                files.save(history.records, state, kept if best else None)
            hooks.epoch(records)
        if files:
            files.close()
        hooks.end(history.records)
        # Through the host, so that predictions are not tied to the devices of the training.
        kept = jax.device_put(jax.device_get(kept))
        return [
            Trained(
                jax.tree.map(lambda x, row=row: x[row], kept),
                history.of(k),
                history.best(k)["epoch"],
            )
            for row, k in enumerate(members)
        ]

    def _start(self, members: Sequence[int]) -> tuple[TrainState, list[Array], Array]:
        """Returns the stacked first states, the keys of orders, and the stacked keys of steps."""
        states, order_keys, step_keys = [], [], []
        for k in members:
            # RBG bits cost a fraction of threefry's, and feature noise draws many.
            key = jax.random.fold_in(jax.random.key(self.config.train.seed, impl="rbg"), k)
            init_key, order_key, step_key = jax.random.split(key, 3)
            states.append(
                create_state(init_key, self.config, self._optimizer, self._example, self._base_rate)
            )
            order_keys.append(order_key)
            step_keys.append(step_key)
        # On the host, where nothing is compiled for the shapes of the leaves.
        state = jax.tree.map(lambda *x: np.stack(x), *jax.device_get(states))
        state, step_keys = place((state, jnp.stack(step_keys)), self.mesh, MEMBERS)
        return state, order_keys, step_keys

    def _epoch(
        self,
        state: TrainState,
        epoch: int,
        order_keys: list[Array],
        step_keys: Array,
        hooks: Callback,
    ) -> tuple[TrainState, list[dict[str, np.ndarray]]]:
        """Runs the steps of an epoch; the only transfer to the host comes after the last one."""
        orders = [
            order(jax.random.fold_in(key, epoch), self._rows, self.config.train.batch_size)
            for key in order_keys
        ]
        index, weights = (np.stack(x) for x in zip(*orders, strict=True))
        measured, done = [], (epoch - 1) * self._steps_per_epoch
        # The weights of all members are the same: only the last step has filler rows.
        for rows, at in self._packer.calls(index, self.config.execution.steps_per_dispatch):
            run = self.programs.steps if isinstance(at, slice) else self.programs.step
            state, terms = run(state, self._train, rows, weights[0][at], step_keys)
            measured.append(terms)
            done += np.size(terms["weight"]) // self._together
            hooks.step(done, terms)
        return state, jax.device_get(measured)
