"""Training of an ensemble: its members at the same time, or one after the other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from lddu.callbacks.callback import Callback
from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.structs import Batch
from lddu.training.trainer import Trained, Trainer


def train_members(
    config: Config,
    train: Batch,
    valid: Batch,
    folder: Path | None = None,
    progress: bool = True,
    note: Callable[[dict[str, Any]], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[list[Trained], Normalizer]:
    """Trains all members of an ensemble.

    Args:
      config: The configuration of the run; `execution.parallel_members` says how.
      train: Raw training rows with labels, hard or soft.
      valid: Raw validation rows with labels.
      folder: Where to keep metrics and checkpoints: in `members`, or in one `member-k` for each.
      progress: Whether to show progress bars.
      note: Called before the first step with what the execution settings came to: "devices",
        "processes" and "members_together".
      callbacks: Hooks; members trained in turn start and end one after the other.

    Returns:
      The members, and the normalisation of their inputs.

    Raises:
      ValueError: If `folder` holds members that were trained in the other way.
    """
    count = config.train.members
    if trains_together(config, folder):
        trainer = Trainer(config, train, valid, together=count)
        groups = {"members": range(count)}
    else:
        trainer = Trainer(config, train, valid)
        groups = {f"member-{k}": [k] for k in range(count)}
    if note is not None:
        note(
            {
                "devices": 1 if trainer.mesh is None else trainer.mesh.size,
                "processes": jax.process_count(),
                "members_together": count // len(groups),
            }
        )
    trained = []
    for name, members in groups.items():
        where = None if folder is None else folder / name
        trained += trainer.run(members, where, progress, callbacks)
    return trained, trainer.normalizer


def trains_together(config: Config, folder: Path | None = None) -> bool:
    """Returns whether members train at the same time.

    Under "auto", a run that was killed continues in its folder as it began, on any machine, and
    several processes train one member after the other, each on all devices.

    Args:
      config: The configuration of the run.
      folder: The run folder, or None.

    Raises:
      ValueError: If the folder holds members that were trained in another way than asked for.
    """
    asked = config.execution.parallel_members
    for name, together in (("members", True), ("member-0", False)):
        if folder is not None and (folder / name).exists():
            if asked not in ("auto", "always" if together else "never"):
                way = "at the same time" if together else "one after the other"
                raise ValueError(
                    f"{folder} holds members that were trained {way}, but execution."
                    f"parallel_members={asked!r}; set it to 'auto', or choose another folder"
                )
            return together
    if asked != "auto":
        return asked == "always"
    several = config.train.members > 1 and jax.process_count() == 1
    return several and jax.default_backend() != "cpu"
