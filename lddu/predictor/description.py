"""`predictor.json`: all of a saved predictor but its configuration and parameters."""

import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np

from lddu.calibration import Choice, serialization
from lddu.calibration.choice import Score
from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.files import converted, damage_named, read_json

FORMAT = 1


class _Choice(TypedDict):
    name: str
    scores: tuple[Score, ...]


class _Description(TypedDict):
    format: int
    labels: tuple[str, ...]
    members: int
    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    base_rate: np.ndarray
    calibrator: serialization.State
    choice: _Choice | None
    shared_threshold: float
    label_thresholds: np.ndarray
    history: tuple[dict[str, bool | int | float], ...]


def to_json(fields: Mapping[str, Any]) -> str:
    """Returns the text of the file.

    Args:
      fields: Name -> value of each field of a `Predictor`.

    Raises:
      ValueError: If the calibrator is not one of `lddu.calibration`.
    """
    config, normalizer, choice = fields["config"], fields["normalizer"], fields["choice"]
    content = {
        "format": FORMAT,
        "labels": list(config.model.labels),
        "members": int(jax.tree.leaves(fields["params"])[0].shape[0]),
        "mean": {k: np.asarray(v).tolist() for k, v in normalizer.mean.items()},
        "std": {k: np.asarray(v).tolist() for k, v in normalizer.std.items()},
        "base_rate": np.asarray(fields["base_rate"]).tolist(),
        "calibrator": serialization.to_json(fields["calibrator"]),
        "choice": None
        if choice is None
        else {"name": choice.name, "scores": [score._asdict() for score in choice.scores]},
        "shared_threshold": float(fields["shared_threshold"]),
        "label_thresholds": np.asarray(fields["label_thresholds"]).tolist(),
        "history": list(fields["history"]),
    }
    return json.dumps(content, indent=2)


def read(file: Path, config: Config) -> tuple[dict[str, Any], int]:
    """Reads the file.

    Args:
      file: The file.
      config: The configuration that belongs to it.

    Returns:
      Name -> value of the fields of a `Predictor`, without `config` and `params`; the number of
      members.

    Raises:
      OSError: If the file cannot be opened.
      ValueError: If it has another format, is damaged, or does not fit the configuration.
    """
    content = read_json(file, dict[str, Any])
    if content.get("format") != FORMAT:
        found = reprlib.repr(content.get("format"))
        raise ValueError(f"{file}: format {found}, expected {FORMAT}; load it with its own lddu")
    with damage_named(file):
        saved: _Description = converted(content, _Description)
        labels = config.model.labels
        if saved["labels"] != labels:
            raise ValueError(
                f"labels are {reprlib.repr(saved['labels'])}, but those of config.json "
                f"{reprlib.repr(labels)}"
            )
        if saved["members"] < 1:
            raise ValueError(f"members is {saved['members']}, must be at least 1")
        for number, record in enumerate(saved["history"]):
            if not {"member", "epoch"} <= record.keys():
                raise ValueError(f"history[{number}] lacks 'member' or 'epoch'")
        state = serialization.from_json(saved["calibrator"], len(labels))
        choice = saved["choice"]
        fields = {
            "normalizer": _read_normalizer(saved, config),
            "base_rate": _shaped(saved["base_rate"], "base_rate", (len(labels),)),
            "calibrator": state,
            "choice": None if choice is None else Choice(choice["name"], state, choice["scores"]),
            "shared_threshold": np.asarray(saved["shared_threshold"]),
            "label_thresholds": _shaped(
                saved["label_thresholds"], "label_thresholds", (len(labels),)
            ),
            "history": saved["history"],
        }
    return fields, saved["members"]


def _read_normalizer(saved: _Description, config: Config) -> Normalizer:
    sizes = {m.name: m.features for m in config.model.modalities}
    statistics = []
    for what in ("mean", "std"):
        if saved[what].keys() != sizes.keys():
            raise ValueError(
                f"{what} is of the modalities {reprlib.repr(sorted(saved[what]))}, but config.json "
                f"has {sorted(sizes)}"
            )
        with np.errstate(over="ignore"):  # infinite then, which is refused
            arrays = {k: saved[what][k].astype(np.float32) for k in sizes}
        for name, array in arrays.items():
            _shaped(array, f"{what} of {name!r}", (sizes[name],))
            if not np.isfinite(array).all() or (what == "std" and (array <= 0).any()):
                allowed = "positive and finite" if what == "std" else "finite"
                raise ValueError(f"{what} of {name!r} is not {allowed} in float32")
        statistics.append(arrays)
    return Normalizer(*statistics)


def _shaped(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array
