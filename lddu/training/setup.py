"""What training one member and training all of them at once have in common."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from tqdm.auto import tqdm

from lddu.calibration.thresholds import fit_shared
from lddu.config import Config
from lddu.data.batching import order
from lddu.data.normalize import fit_normalizer
from lddu.metrics.calibration import nll
from lddu.metrics.multilabel import f1
from lddu.packing.plan import Packer
from lddu.structs import Batch
from lddu.training.optimizer import build_optimizer
from lddu.training.sharding import DATA, replicate, require_same
from lddu.training.state import TrainState, base_rate, create_state
from lddu.training.step import packs

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training a member gives.

    Attributes:
      params: Parameters of the epoch that validation chose.
      history: One dict per epoch: epoch, seconds, train_<term>, valid_nll, valid_micro_f1, best.
        Members that train at the same time share an epoch's seconds evenly.
      best_epoch: The chosen epoch, counted from 1.
    """

    params: Any
    history: list[Record]
    best_epoch: int


class Setup:
    """One configuration on one data set: where every member starts and how its epochs count."""

    def __init__(self, config: Config, train: Batch, valid: Batch, mesh: jax.sharding.Mesh | None):
        self.config = config
        self.normalizer = fit_normalizer(train)
        self._rows = train.size
        self._steps_per_epoch = math.ceil(self._rows / config.train.batch_size)
        total = config.train.epochs * self._steps_per_epoch
        self._optimizer = build_optimizer(config.train, total)
        self._base_rate = base_rate(train.labels)
        self._example = jax.tree.map(lambda x: np.asarray(x[:1]), train)
        if mesh is None:
            self._train, self._valid = jax.device_put((train, valid))
        else:
            require_same(train, valid)
            self._train, self._valid = replicate((train, valid), mesh)
        parts = 1 if mesh is None else mesh.shape[DATA]
        # A fixed sample of batches, so that a run that is taken up again has the same shapes.
        trials = 256 * packs(config, parts)
        trial = np.random.default_rng(0).integers(
            train.size, size=(trials, config.train.batch_size)
        )
        # A second size takes as long to compile as a few hundred steps save.
        quantiles = (0.75, 1.0) if total >= 2000 else (1.0,)
        self._packer = Packer(train, config.model, trial, quantiles)
        self._valid_labels = np.asarray(valid.labels)

    def _start(self, member: int) -> tuple[TrainState, jax.Array, jax.Array]:
        """A member's first state, the key of its orders of examples, and the key of its steps."""
        # RBG bits cost a fraction of threefry's, and feature noise draws many.
        key = jax.random.fold_in(jax.random.key(self.config.train.seed, impl="rbg"), member)
        init_key, order_key, step_key = jax.random.split(key, 3)
        state = create_state(init_key, self.config, self._optimizer, self._example, self._base_rate)
        return state, order_key, step_key

    def _order(self, order_key: jax.Array, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and weights of an epoch's steps, as `lddu.data.batching.order` gives them."""
        return order(jax.random.fold_in(order_key, epoch), self._rows, self.config.train.batch_size)

    def _scores(self, probs: np.ndarray) -> dict[str, float]:
        """NLL, and micro-F1 at the threshold that suits the validation split best."""
        if not np.isfinite(probs).all():
            return {"valid_nll": math.nan, "valid_micro_f1": math.nan}
        # Soft validation labels count as present from one half.
        hard = self._valid_labels >= 0.5
        decisions = probs >= fit_shared(probs, hard)
        return {
            "valid_nll": float(nll(probs, self._valid_labels)),
            "valid_micro_f1": float(f1(decisions, hard, average="micro")),
        }

    def _bar(self, what: str, epochs: int, progress: bool) -> tqdm:
        """A bar over the steps of the run, of which `epochs` are done."""
        return tqdm(
            total=self.config.train.epochs * self._steps_per_epoch,
            initial=epochs * self._steps_per_epoch,
            desc=what,
            unit="step",
            disable=not progress or jax.process_index() > 0,
        )


def show(bar: tqdm, records: list[Record]) -> None:
    """Writes the loss and the validation scores of an epoch, means over members, to the bar."""
    loss, score, micro_f1 = (
        np.mean([record[name] for record in records])
        for name in ("train_nll", "valid_nll", "valid_micro_f1")
    )
    bar.set_postfix(loss=f"{loss:.4f}", valid_nll=f"{score:.4f}", micro_f1=f"{micro_f1:.3f}")


def epoch_means(steps: list[dict[str, np.ndarray]]) -> dict[str, float]:
    """Means over an epoch of what its steps measured, each step weighted by its rows.

    What several steps in one call measured are arrays, (steps,).
    """
    joined = {name: np.hstack([step[name] for step in steps]) for name in steps[0]}
    rows = joined.pop("rows").astype(np.float64)
    return {f"train_{k}": float(np.average(x, weights=rows)) for k, x in joined.items()}


def require_finite(record: Record, member: int) -> None:
    """Requires that an epoch of a member went well.

    Raises:
      FloatingPointError: If any number is NaN or infinite.
    """
    for name, value in record.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"training of member {member} is not finite in epoch {record['epoch']} "
                f"({name}={value}); lower the learning rate or check the data"
            )


def best(history: list[Record], monitor: str) -> Record:
    """The best epoch; the earliest of equals."""
    if monitor == "micro_f1":
        return max(history, key=lambda r: r["valid_micro_f1"])
    return min(history, key=lambda r: r["valid_nll"])


def stopped(history: list[Record], monitor: str, patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better."""
    if not history or not patience:
        return False
    return history[-1]["epoch"] - best(history, monitor)["epoch"] >= patience
