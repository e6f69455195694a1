"""`fit` makes a `Predictor`; `calibrate` fits its calibrator and thresholds, again at will."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import CALIBRATORS, Calibrator, Choice, Identity, choose
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.config import CalibrationConfig, Config
from lddu.data.batching import check_batch, fingerprint
from lddu.predictor import inference
from lddu.predictor.predictor import Predictor
from lddu.structs import Batch
from lddu.training.state import base_rate


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
      config: What to train, from a preset of `lddu.config`.
      train: Raw training rows with labels in [0, 1], hard or soft.
      valid: Raw validation rows with hard labels. They choose the epoch and fit the calibrator
        and the thresholds.
      folder: Run folder for the configuration, metrics and checkpoints. A run killed there goes on
        where it stopped when `fit` is called again. None keeps nothing.
      progress: Whether to show a progress bar.

    Returns:
      A `Predictor`. With `calibration.method` "choose", every row was a group of its own; where
      rows belong together, `calibrate` it again with their groups.

    Raises:
      ValueError: If the data do not fit the configuration, validation labels are soft, or
        `folder` holds a run of another configuration or on other data.
      FloatingPointError: If a member's loss stops being finite.
    """
    from lddu.training.members import train_members  # here: `import lddu` stays light

    check_batch(train, config.model, labelled=True)
    _check_valid(valid, config)
    folder = None if folder is None else _claim(Path(folder), config, train, valid)
    train, valid = (inference.select(batch, config.model) for batch in (train, valid))
    trained, normalizer = train_members(config, train, valid, folder, progress)
    raw = Predictor(
        config,
        jax.tree.map(lambda *x: jnp.stack(x), *(member.params for member in trained)),
        normalizer,
        base_rate(train.labels),
        Identity(),
        np.asarray(0.5),
        np.full(len(config.model.labels), 0.5),
        tuple(
            {"member": k, **record} for k, member in enumerate(trained) for record in member.history
        ),
    )
    return calibrate(raw, valid)


def calibrate(
    predictor: Predictor, valid: Batch, groups: jax.typing.ArrayLike | None = None
) -> Predictor:
    """The same predictor with calibrator and thresholds fitted anew; the weights stay.

    To try another method: `calibrate(dataclasses.replace(predictor, config=other), valid)`.

    Args:
      predictor: Its `config.calibration` says what is fitted.
      valid: Raw validation rows with hard labels.
      groups: (N,) names or numbers, for method "choose": rows of one group, such as windows of one
        film, stay in one fold of its cross-validation. None makes every row a group of its own.
        Other methods do not need it.

    Returns:
      A `Predictor`; its `choice` says how the candidates of "choose" did.

    Raises:
      ValueError: If `valid` does not fit the model, its labels are soft, or it has too few rows or
        groups for the method.
    """
    config = predictor.config
    _check_valid(valid, config)
    labels = np.asarray(valid.labels)
    parts = list(
        inference.member_parts(config.model, predictor.params, predictor.normalizer, valid)
    )
    logits = inference.combine(parts, Identity(), valid.size).logits
    seen = np.concatenate([seen for _, seen in parts])[: valid.size]
    calibrator, choice = _fit_calibrator(
        config.calibration, predictor.base_rate, logits, labels, seen, groups
    )
    probs = inference.combine(parts, calibrator, valid.size).probs
    shared = fit_shared(probs, labels)
    return dataclasses.replace(
        predictor,
        calibrator=calibrator,
        shared_threshold=shared,
        label_thresholds=fit_per_label(probs, labels, fallback=float(shared)),
        choice=choice,
    )


def _fit_calibrator(
    config: CalibrationConfig,
    rate: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    seen: np.ndarray,
    groups: jax.typing.ArrayLike | None,
) -> tuple[Calibrator, Choice | None]:
    """Fits what the configuration asks for; `seen` are the rows that it will be applied to."""
    if groups is not None and np.shape(groups) != seen.shape:
        raise ValueError(
            f"groups has shape {np.shape(groups)}, must be one group per row of valid, "
            f"({len(seen)},)"
        )
    fits = _fits(config, rate)
    if config.method == "none":
        return Identity(), None
    if not seen.any():
        raise ValueError(
            f"no row of valid has any input, so that method={config.method!r} has nothing to be "
            "fitted on; give some, or take 'none'"
        )
    if config.method == "choose":
        groups = None if groups is None else np.asarray(groups)[seen]
        choice = choose(logits[seen], labels[seen], fits, groups=groups)
        return choice.state, choice
    return fits[config.method](logits, labels, weights=seen), None


def _fits(config: CalibrationConfig, rate: np.ndarray) -> dict[str, Callable[..., Calibrator]]:
    """`CALIBRATORS` with the anchor and the shrinkage of the configuration."""
    rate = jnp.asarray(rate, jnp.float32)
    anchor = (
        jnp.log(rate) - jnp.log1p(-rate) if config.anchor == "base_rate" else jnp.zeros_like(rate)
    )
    scaling = {"anchor": anchor, "shrinkage": config.shrinkage or 0.0}
    settings = {"temperature": scaling, "temperature_per_label": scaling}
    if config.shrinkage is not None:
        pull = {"shrinkage": config.shrinkage}
        settings |= {"platt": pull, "vector": pull, "beta": pull}
        # In the proportion of the defaults of `fit_matrix`.
        settings["matrix"] = {**pull, "off_diagonal": 10 * config.shrinkage}
    return {
        name: functools.partial(fit, **settings.get(name, {})) for name, fit in CALIBRATORS.items()
    }


def _check_valid(valid: Batch, config: Config) -> None:
    check_batch(valid, config.model, labelled=True)
    if not np.isin(np.asarray(valid.labels), (0.0, 1.0)).all():
        raise ValueError(
            "valid.labels are soft; model choice, calibration and thresholds need hard labels"
        )


def _claim(folder: Path, config: Config, train: Batch, valid: Batch) -> Path:
    """Makes the run folder that of this configuration on these data."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    if path.exists() and Config.from_json(path.read_text()) != config:
        raise ValueError(
            f"{folder} holds a run of another configuration (see {path}); choose another folder or "
            "delete it"
        )
    _write(path, config.to_json())
    path = folder / "data.json"
    data = {"train": fingerprint(train), "valid": fingerprint(valid)}
    if path.exists() and json.loads(path.read_text()) != data:
        raise ValueError(
            f"{folder} holds a run on other data (see {path}); choose another folder or delete it"
        )
    _write(path, json.dumps(data))
    return folder


def _write(path: Path, text: str) -> None:
    """Moved into place, so that a killed run, or another process, never sees half a file."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)
