"""Training of an ensemble: its members at the same time, or one after the other."""

from pathlib import Path

import jax

from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.structs import Batch
from lddu.training.ensemble import EnsembleTrainer
from lddu.training.loop import Trainer
from lddu.training.setup import Trained


def train_members(
    config: Config, train: Batch, valid: Batch, folder: Path | None = None, progress: bool = True
) -> tuple[list[Trained], Normalizer]:
    """Trains all members in the way that `config.train.parallel_members` says.

    Args:
      config: The run's configuration.
      train: Raw training rows, labelled; hard or soft targets.
      valid: Raw validation rows with hard labels.
      folder: Where to keep metrics and checkpoints: in `members`, or in one `member-k` each.
      progress: Whether to show a bar.

    Returns:
      The members, and the normalisation of their inputs.
    """
    if in_parallel(config, folder):
        together = EnsembleTrainer(config, train, valid)
        return together.run(folder and folder / "members", progress), together.normalizer
    trainer = Trainer(config, train, valid)
    trained = [
        trainer.run(k, folder and folder / f"member-{k}", progress)
        for k in range(config.train.members)
    ]
    return trained, trainer.normalizer


def in_parallel(config: Config, folder: Path | None = None) -> bool:
    """Whether members train at the same time.

    Several processes train one member after the other, each member on all devices.
    Under "auto" a run that was killed goes on in `folder` as it began, on whatever machine.
    """
    cfg = config.train
    if cfg.parallel_members != "auto":
        return cfg.parallel_members == "always"
    for name, parallel in (("members", True), ("member-0", False)):
        if folder and (folder / name).exists():
            return parallel
    if jax.process_count() > 1:
        return False
    return cfg.members > 1 and jax.default_backend() != "cpu"
