"""`train` and `fit`: from data to a `Predictor`."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import Identity
from lddu.callbacks.callback import Callback
from lddu.config import Config
from lddu.data.batching import check_batch
from lddu.data.label_names import in_order
from lddu.data.labels import base_rate, check_known
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
    callbacks: Sequence[Callback] = (),
) -> Predictor:
    """Trains, chooses the epoch, calibrates and sets thresholds, all of it without test data.

    Args:
      config: The configuration, from a preset of `lddu.config`.
      train: Raw training rows with labels in [0, 1], hard or soft, or NaN where unknown. A label
        that no row knows is warned of: nothing is learned about it, its base rate is 1/2.
      valid: Raw validation rows with labels in [0, 1], hard or soft, NaN where unknown. They choose
        the epoch and fit the calibrator and the thresholds.
      folder: Run folder for the configuration, metrics and checkpoints. A run that was killed
        continues where it stopped when `fit` is called again, also with other `config.execution`
        settings (except `dtype`). None keeps nothing.
      progress: Whether to show a progress bar; without a terminal, a line per epoch.
      callbacks: What to call while training; see `lddu.callbacks`.

    Returns:
      A `Predictor`. With `calibration.method` "choose", every row counts as a group of its own;
      where rows belong together, `calibrate` it again with their groups.

    Raises:
      ValueError: If the data do not fit the configuration, no label is known in training or
        validation, or `folder` holds a run of another configuration or on other data, or a
        damaged one.
      FloatingPointError: If a member's loss stops being finite.
    """
    trained = train_only(
        config, train, valid, folder=folder, progress=progress, callbacks=callbacks
    )
    return calibrate(trained, valid)


def train_only(
    config: Config,
    train: Batch,
    valid: Batch,
    *,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Predictor:
    """Trains and chooses the epoch as `fit` does, without calibrating.

    Args:
      config: As in `fit`.
      train: As in `fit`.
      valid: As in `fit`.
      folder: As in `fit`.
      progress: As in `fit`.
      callbacks: As in `fit`.

    Returns:
      A `Predictor` without calibrator (`Identity`), with thresholds of one half.

    Raises:
      ValueError: As in `fit`.
      FloatingPointError: As in `fit`.
    """
    # Imported here: `import lddu` stays light.
    from lddu.training.members import train_members

    train, valid = (in_order(batch, config.model.labels) for batch in (train, valid))
    check_batch(train, config.model, labelled=True)
    check_known(train.labels, config.model.labels, train.weight)
    check_valid(valid, config)
    note = None
    if folder is not None:
        folder = claim(Path(folder), config, train, valid)
        note = functools.partial(note_execution, folder, config)
    rows = [select(batch, config.model) for batch in (train, valid)]
    trained, normalizer = train_members(config, *rows, folder, progress, note, callbacks)
    return Predictor(
        config,
        jax.tree.map(lambda *x: jnp.stack(x), *(member.params for member in trained)),
        normalizer,
        base_rate(train.labels, train.weight),
        Identity(),
        np.asarray(0.5),
        np.full(len(config.model.labels), 0.5),
        tuple(record for member in trained for record in member.history),
    )
