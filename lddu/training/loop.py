"""The training loop of one ensemble member: epochs, validation, early stopping, resumption."""

import dataclasses
import math
import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from lddu.calibration.thresholds import fit_shared
from lddu.config import Config
from lddu.data.batching import order
from lddu.data.normalize import fit_normalizer
from lddu.metrics.calibration import nll
from lddu.metrics.multilabel import f1
from lddu.structs import Batch
from lddu.training.checkpoint import RunFolder
from lddu.training.optimizer import build_optimizer
from lddu.training.state import base_rate, create_state
from lddu.training.step import make_evaluate, make_step


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training a member gives.

    Attributes:
      params: Parameters of the epoch that validation chose.
      history: One dict per epoch: epoch, seconds, train_<term>, valid_nll, valid_micro_f1, best.
      best_epoch: The chosen epoch, counted from 1.
    """

    params: Any
    history: list[dict[str, Any]]
    best_epoch: int


class Trainer:
    """Trains members of one configuration on one data set, compiling once for all of them."""

    def __init__(self, config: Config, train: Batch, valid: Batch):
        """Puts the data on the device; on CPU they stay where they are, mapped files too.

        Args:
          config: The run's configuration.
          train: Raw training rows, labelled; hard or soft targets.
          valid: Raw validation rows with hard labels.
        """
        self.config = config
        self.normalizer = fit_normalizer(train)
        self._rows = train.size
        self._steps_per_epoch = math.ceil(self._rows / config.train.batch_size)
        total = config.train.epochs * self._steps_per_epoch
        self._optimizer = build_optimizer(config.train, total)
        self._step = make_step(config, self._optimizer, self.normalizer)
        self._evaluate = make_evaluate(config, min(256, valid.size), self.normalizer)
        self._base_rate = base_rate(train.labels)
        self._train, self._valid = jax.device_put((train, valid))
        self._valid_labels = np.asarray(valid.labels)

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
          FloatingPointError: If the loss stops being finite; says in which epoch.
        """
        cfg = self.config.train
        # RBG bits cost a fraction of threefry's, and dropout draws many.
        key = jax.random.fold_in(jax.random.key(cfg.seed, impl="rbg"), member)
        init_key, order_key, step_key = jax.random.split(key, 3)
        example = jax.tree.map(lambda x: x[:1], self._train)
        state = create_state(init_key, self.config, self._optimizer, example, self._base_rate)
        files = RunFolder(folder) if folder is not None else None
        history = files.history() if files else []
        best = None
        if history:
            state = files.load_state(history[-1]["epoch"], state)
            best = files.load_best(_best(history, cfg.monitor)["epoch"], state.eval_params)

        bar = tqdm(
            total=cfg.epochs * self._steps_per_epoch,
            initial=len(history) * self._steps_per_epoch,
            desc=f"member {member + 1}/{cfg.members}",
            unit="step",
            disable=not progress,
        )
        with bar:
            while len(history) < cfg.epochs and not _stop(history, cfg.monitor, cfg.patience):
                epoch = len(history) + 1
                began = time.perf_counter()
                measured = []
                for rows, weight in zip(
                    *order(jax.random.fold_in(order_key, epoch), self._rows, cfg.batch_size),
                    strict=True,
                ):
                    state, terms = self._step(state, self._train, rows, weight, step_key)
                    measured.append(terms)
                    bar.update()
                record = {"epoch": epoch, **_epoch_means(measured)}
                record.update(self._validate(state.eval_params))
                for name, value in record.items():
                    if not math.isfinite(value):
                        raise FloatingPointError(
                            f"training is not finite in epoch {epoch} ({name}={value}); lower the "
                            "learning rate or check the data"
                        )
                record["seconds"] = time.perf_counter() - began
                history.append(record)
                record["best"] = _best(history, cfg.monitor) is record
                if record["best"]:
                    # A copy, because the next step donates the state's buffers.
                    best = jax.tree.map(jnp.copy, state.eval_params)
                if files:
                    files.save(record, state, best if record["best"] else None)
                bar.set_postfix(
                    loss=f"{record['train_nll']:.4f}",
                    valid_nll=f"{record['valid_nll']:.4f}",
                    micro_f1=f"{record['valid_micro_f1']:.3f}",
                )
        if files:
            files.close()
        return Trained(best, history, _best(history, cfg.monitor)["epoch"])

    def _validate(self, params: Any) -> dict[str, float]:
        """NLL, and micro-F1 at the threshold that suits the validation split best."""
        probs = self._evaluate(params, self._valid)
        if not np.isfinite(probs).all():
            return {"valid_nll": math.nan, "valid_micro_f1": math.nan}
        # Soft validation labels count as present from one half.
        hard = self._valid_labels >= 0.5
        decisions = probs >= fit_shared(probs, hard)
        return {
            "valid_nll": float(nll(probs, self._valid_labels)),
            "valid_micro_f1": float(f1(decisions, hard, average="micro")),
        }


def _epoch_means(measured: list[dict[str, jax.Array]]) -> dict[str, float]:
    """Means over an epoch, each step weighted by its rows; the only host sync of the epoch."""
    steps = jax.device_get(measured)
    rows = np.array([step["rows"] for step in steps], np.float64)
    names = [name for name in steps[0] if name != "rows"]
    return {
        f"train_{name}": float(np.average([step[name] for step in steps], weights=rows))
        for name in names
    }


def _best(history: list[dict[str, Any]], monitor: str) -> dict[str, Any]:
    """The best epoch; the earliest of equals."""
    if monitor == "micro_f1":
        return max(history, key=lambda r: r["valid_micro_f1"])
    return min(history, key=lambda r: r["valid_nll"])


def _stop(history: list[dict[str, Any]], monitor: str, patience: int) -> bool:
    if not history or not patience:
        return False
    return history[-1]["epoch"] - _best(history, monitor)["epoch"] >= patience
