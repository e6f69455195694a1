"""`train` and `fit`: from data to a `Predictor`."""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import Identity
from lddu.config import Config
from lddu.data.batching import check_batch
from lddu.data.labels import base_rate
from lddu.predictor.calibrating import calibrate, check_valid
from lddu.predictor.network import select
from lddu.predictor.predictor import Predictor
from lddu.predictor.run_folder import claim, note_execution
from lddu.structs import Batch


def fit(
    config: Config,
    train: Batch,
    valid: Batch,
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
) -> Predictor:
    """Trains, chooses the epoch, calibrates and sets thresholds, all of it without test data.

    Args:
      config: The configuration, from a preset of `lddu.config`.
      train: Raw training rows with labels in [0, 1], hard or soft.
      valid: Raw validation rows with hard labels. They choose the epoch and fit the calibrator and
        the thresholds.
      folder: Run folder for the configuration, metrics and checkpoints. A run that was killed
        continues where it stopped when `fit` is called again, also with other `config.execution`
        settings (except `dtype`). None keeps nothing.
      progress: Whether to show a progress bar.

    Returns:
      A `Predictor`. With `calibration.method` "choose", every row counts as a group of its own;
      where rows belong together, `calibrate` it again with their groups.

    Raises:
      ValueError: If the data do not fit the configuration, validation labels are soft, or `folder`
        holds a run of another configuration or on other data, or a damaged one.
      FloatingPointError: If a member's loss stops being finite.
    """
    return calibrate(train_only(config, train, valid, folder=folder, progress=progress), valid)


def train_only(
    config: Config,
    train: Batch,
    valid: Batch,
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
) -> Predictor:
    """Trains and chooses the epoch as `fit` does, without calibrating.

    Args:
      config: As in `fit`.
      train: As in `fit`.
      valid: As in `fit`.
      folder: As in `fit`.
      progress: As in `fit`.

    Returns:
      A `Predictor` without calibrator (`Identity`), with thresholds of one half.

    Raises:
      ValueError: As in `fit`.
      FloatingPointError: As in `fit`.
    """
    # Imported here: `import lddu` stays light.
    from lddu.training.members import train_members

    check_batch(train, config.model, labelled=True)
    check_valid(valid, config)
    note = None
    if folder is not None:
        folder = claim(Path(folder), config, train, valid)
        note = functools.partial(note_execution, folder, config)
    rows = [select(batch, config.model) for batch in (train, valid)]
    trained, normalizer = train_members(config, *rows, folder, progress, note)
    return Predictor(
        config,
        jax.tree.map(lambda *x: jnp.stack(x), *(member.params for member in trained)),
        normalizer,
        base_rate(train.labels),
        Identity(),
        np.asarray(0.5),
        np.full(len(config.model.labels), 0.5),
        tuple(record for member in trained for record in member.history),
    )
