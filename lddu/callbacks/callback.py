"""The protocol: what training tells, and when."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from lddu.config import Config


@dataclasses.dataclass(frozen=True)
class Start:
    """What is known before the first step.

    Attributes:
      config: The configuration of the run.
      members: Numbers of the ensemble members that are trained together.
      epoch: Number of epochs already finished, above 0 for a run that continues.
      steps_per_epoch: Number of steps of an epoch.
      folder: Folder of the group's metrics and checkpoints, or None.
    """

    config: Config
    members: tuple[int, ...]
    epoch: int
    steps_per_epoch: int
    folder: Path | None


class Callback:
    """Hooks of a training; each does nothing unless overridden.

    Members that are trained in turn start and end one after the other; members trained together
    share one start and one end. An exception raised by a hook ends the training, and what was
    finished stays in the run folder.

    Example:
      >>> from lddu.callbacks import Callback
      >>> class Best(Callback):
      ...     def epoch(self, records):
      ...         for record in records:
      ...             if record["best"]:
      ...                 print(record["member"], record["epoch"])
      >>> Best().epoch([{"member": 0, "epoch": 3, "best": True}])
      0 3
    """

    def start(self, start: Start) -> None:
        """Called before the first step of a group of members."""

    def step(self, step: int, terms: Mapping[str, jax.Array]) -> None:
        """Called after every call of the device, which runs `execution.steps_per_dispatch` steps.

        Args:
          step: Number of steps done since the start of the training, those before a continuation
            included.
          terms: name -> (K,) or (K, steps) terms of the loss of K members, on the device. To read
            them is to wait for the device.
        """

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Called after every epoch.

        Args:
          records: One record for each member that took part: "member", "epoch" (from 1),
            "seconds", "train_<term>", "valid_nll", "valid_micro_f1", and "best", whether the epoch
            is the member's best so far.
        """

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Called when all members of the group have stopped, with the records of all epochs."""


class Several(Callback):
    """Callbacks as one, called in their order."""

    def __init__(self, callbacks: Sequence[Callback]):
        """Takes the callbacks."""
        self._callbacks = tuple(callbacks)

    def start(self, start: Start) -> None:
        """Starts all."""
        for callback in self._callbacks:
            callback.start(start)

    def step(self, step: int, terms: Mapping[str, jax.Array]) -> None:
        """Tells all of a step."""
        for callback in self._callbacks:
            callback.step(step, terms)

    def epoch(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Tells all of an epoch."""
        for callback in self._callbacks:
            callback.epoch(records)

    def end(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Ends all."""
        for callback in self._callbacks:
            callback.end(records)


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the figures of an epoch's record, as trackers take them."""
    return {
        name: float(value)
        for name, value in record.items()
        if name not in ("member", "epoch", "best")
    }
