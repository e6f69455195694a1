"""`predictions.npz`: the test predictions of a run, kept so that runs can be compared later."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lddu import metrics
from lddu.files import Spec, atomic_path, damage_named, read_npz
from lddu.runs.scores import Stat, aggregate

FILE = "predictions.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class ModelPredictions:
    """Test predictions of one model, trained S times, for instance from S seeds.

    Attributes:
      probs: (S, N, C) probabilities.
      thresholds: Decision thresholds: (S, C), or (S, N, C) where they differ between samples.
    """

    probs: np.ndarray
    thresholds: np.ndarray

    def cuts(self) -> np.ndarray:
        """Returns the decision threshold of every probability, (S, N, C)."""
        thresholds = self.thresholds if self.thresholds.ndim == 3 else self.thresholds[:, None]
        return np.broadcast_to(thresholds, self.probs.shape)

    def scores(self, labels: np.ndarray) -> list[dict[str, float]]:
        """Returns `lddu.metrics.summarise` of each of the S runs, for labels (N, C)."""
        runs = zip(self.probs, self.cuts(), strict=True)
        return [metrics.summarise(probs, labels, cuts) for probs, cuts in runs]


def pool(parts: Sequence[ModelPredictions]) -> ModelPredictions:
    """Joins predictions of the same model for different test samples, such as those of folds."""
    return ModelPredictions(
        np.concatenate([part.probs for part in parts], axis=1),
        np.concatenate([part.cuts() for part in parts], axis=1),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class RunPredictions:
    """What all models of an experiment predict for the same test samples.

    Attributes:
      ids: (N,) unique names of the samples.
      labels: (N, C) labels in [0, 1], NaN where unknown.
      label_names: C names.
      protocol: "validation", or "official" if something was chosen on the test split.
      main: The model that the experiment is about; the others stand beside it.
      models: Name -> predictions.
    """

    ids: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    protocol: str
    main: str
    models: Mapping[str, ModelPredictions]

    def __post_init__(self):
        if self.main not in self.models:
            raise ValueError(f"main={self.main!r} must be one of the models {list(self.models)}")
        shape = (len(self.ids), len(self.label_names))
        shapes = {"labels": np.shape(self.labels)}
        shapes |= {f"probs of {name}": model.probs.shape[1:] for name, model in self.models.items()}
        for name, given in shapes.items():
            if given != shape:
                raise ValueError(
                    f"{name} {given} must be (N, C), with N={shape[0]} ids and C={shape[1]} label "
                    "names"
                )

    def table(self) -> dict[str, dict[str, Stat]]:
        """Returns model -> metric -> statistics over the model's S runs."""
        return {name: aggregate(model.scores(self.labels)) for name, model in self.models.items()}

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes `predictions.npz` into a run folder, and returns its path."""
        arrays = {
            "ids": self.ids,
            "labels": np.asarray(self.labels, np.float64),
            "label_names": np.array(self.label_names),
            "protocol": np.array(self.protocol),
            "main": np.array(self.main),
            "models": np.array(list(self.models)),
        }
        for number, model in enumerate(self.models.values()):
            arrays[f"probs_{number}"] = np.asarray(model.probs, np.float32)
            arrays[f"thresholds_{number}"] = np.asarray(model.thresholds, np.float64)
        path = Path(folder) / FILE
        with atomic_path(path) as partial:
            np.savez_compressed(partial, **arrays)
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "RunPredictions":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: If the folder holds no predictions.
          ValueError: If the file is damaged or lacks something; names it.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}; is this the folder of a finished run?")
        arrays = read_npz(path, _check_arrays)
        with damage_named(path):
            models = {
                str(name): ModelPredictions(
                    _probabilities(f"probs_{number}", arrays), arrays[f"thresholds_{number}"]
                )
                for number, name in enumerate(arrays["models"])
            }
            labels = np.asarray(arrays["labels"], np.float64)
            if not (np.isnan(labels) | ((labels >= 0) & (labels <= 1))).all():
                raise ValueError("labels are not in [0, 1]")
            if len(models) < len(arrays["models"]):
                raise ValueError("models are not unique")
            return cls(
                arrays["ids"],
                labels,
                tuple(map(str, arrays["label_names"])),
                str(arrays["protocol"]),
                str(arrays["main"]),
                models,
            )


def _check_arrays(found: Mapping[str, Spec]) -> None:
    """Raises ValueError unless arrays of these shapes and types are those of `RunPredictions`."""

    def shape(name: str, kinds: str) -> tuple[int, ...]:
        if name not in found or found[name].dtype.kind not in kinds:
            raise ValueError(f"{name} is {found.get(name, 'missing')}")
        return found[name].shape

    def require(name: str, kinds: str, *shapes: tuple[int, ...]) -> None:
        if shape(name, kinds) not in shapes:
            raise ValueError(f"{name} is {found[name]}, expected {' or '.join(map(str, shapes))}")

    rows, labels, models = (
        math.prod(shape(name, kinds))
        for name, kinds in (("ids", "Uiuf"), ("label_names", "U"), ("models", "U"))
    )
    known = {"ids": (rows,), "label_names": (labels,), "models": (models,)}
    for name, expected in {**known, "protocol": (), "main": ()}.items():
        require(name, "Uiuf" if name == "ids" else "U", expected)
    require("labels", "iuf", (rows, labels))
    names = {*known, "labels", "protocol", "main"}
    for number in range(models):
        probs, thresholds = f"probs_{number}", f"thresholds_{number}"
        runs = (*shape(probs, "f"), 0)[0]
        require(probs, "f", (max(runs, 1), rows, labels))
        require(thresholds, "f", (runs, labels), (runs, rows, labels))
        names |= {probs, thresholds}
    if more := sorted(found.keys() - names):
        raise ValueError(f"unknown arrays {', '.join(more)}")


def _probabilities(name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    probs = np.asarray(arrays[name], np.float64)
    if not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError(f"{name} are not in [0, 1]")
    return probs
