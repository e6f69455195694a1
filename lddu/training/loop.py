"""The training loop of one ensemble member: epochs, validation, early stopping, resumption."""

import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lddu.config import Config
from lddu.structs import Batch
from lddu.training.checkpoint import RunFolder
from lddu.training.memory import Trimmed
from lddu.training.setup import (
    Setup,
    Trained,
    best,
    epoch_means,
    require_finite,
    show,
    stopped,
)
from lddu.training.sharding import data_mesh, replicate, training_devices
from lddu.training.step import make_evaluate, make_step

__all__ = ["Trained", "Trainer"]


class Trainer(Setup):
    """Trains members one after the other, compiling once for all of them.

    On several devices each computes its share of the rows of every batch, as
    `lddu.training.sharding` describes; as many are used as divide the batch size.
    """

    def __init__(
        self,
        config: Config,
        train: Batch,
        valid: Batch,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Puts the data on the devices; on one CPU they stay where they are, mapped files too.

        Args:
          config: The run's configuration.
          train: Raw training rows, labelled; hard or soft targets.
          valid: Raw validation rows with hard labels.
          devices: Where to train; None for what `config.train.devices` says.
        """
        devices = training_devices(config.train.devices) if devices is None else devices
        self._mesh = None if devices is None else data_mesh(config.train.batch_size, devices)
        super().__init__(config, train, valid, self._mesh)
        options = (config, self._optimizer, self.normalizer, self._mesh)
        self._step = Trimmed(make_step(*options))
        self._steps = Trimmed(make_step(*options, several=True))
        self._evaluate = make_evaluate(
            config, self._valid, min(256, valid.size), self.normalizer, self._mesh
        )

    def run(
        self, member: int = 0, folder: str | os.PathLike | None = None, progress: bool = True
    ) -> Trained:
        """Trains one member.

        Args:
          member: Its number; with `config.train.seed` it determines all randomness.
          folder: Where to keep metrics and checkpoints; a run that was killed continues from its
            last complete epoch, to the same result. None keeps nothing.
          progress: Whether to show a bar with the loss and the validation scores.

        Raises:
          FloatingPointError: If the loss stops being finite; says of which member, in which epoch.
        """
        cfg = self.config.train
        state, order_key, step_key = self._start(member)
        state, step_key = self._place((state, step_key))
        files = RunFolder(folder) if folder is not None else None
        history = files.history() if files else []
        kept = None
        if history:
            state = files.load_state(history[-1]["epoch"], state)
            kept = files.load_best(best(history, cfg.monitor)["epoch"], state.eval_params)
            state = self._place(state)

        with self._bar(f"member {member + 1}/{cfg.members}", len(history), progress) as bar:
            while len(history) < cfg.epochs and not stopped(history, cfg.monitor, cfg.patience):
                epoch = len(history) + 1
                began = time.perf_counter()
                measured = []
                index, weight = self._order(order_key, epoch)
                for rows, at in self._packer.calls(index, cfg.steps_per_dispatch):
                    run = self._steps if isinstance(at, slice) else self._step
                    state, terms = run(state, self._train, rows, weight[at], step_key)
                    measured.append(terms)
                    bar.update(np.size(terms["rows"]))
                # The only host sync of the epoch's steps.
                record = {"epoch": epoch, **epoch_means(jax.device_get(measured))}
                record.update(self._validate(state.eval_params))
                require_finite(record, member)
                record["seconds"] = time.perf_counter() - began
                history.append(record)
                record["best"] = best(history, cfg.monitor) is record
                if record["best"]:
                    # A copy, because the next step donates the state's buffers.
                    kept = jax.tree.map(jnp.copy, state.eval_params)
                if files:
                    files.save(record, state, kept if record["best"] else None)
                show(bar, [record])
        if files:
            files.close()
        if self._mesh is not None:
            # Through the host, so that predictions are not tied to the devices of the training.
            kept = jax.device_put(jax.device_get(kept))
        return Trained(kept, history, best(history, cfg.monitor)["epoch"])

    def _place(self, tree: Any) -> Any:
        return tree if self._mesh is None else replicate(tree, self._mesh)

    def _validate(self, params: Any) -> dict[str, float]:
        return self._scores(self._evaluate(params))
