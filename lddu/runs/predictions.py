"""`predictions.npz`: the test predictions of a run, kept so that runs can be compared later."""

import dataclasses
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lddu import metrics

FILE = "predictions.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """Test predictions of one model, of S runs such as seeds.

    Attributes:
      probs: (S, N, C) probabilities.
      thresholds: (S, C) decision thresholds.
    """

    probs: np.ndarray
    thresholds: np.ndarray

    def scores(self, labels: np.ndarray) -> list[dict[str, float]]:
        """One row of `lddu.metrics.summarise` per run."""
        runs = zip(self.probs, self.thresholds, strict=True)
        return [metrics.summarise(probs, labels, cut) for probs, cut in runs]


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What all models of an experiment said of the same test samples.

    Attributes:
      ids: (N,) text, unique.
      labels: (N, C) of 0 and 1.
      label_names: C names.
      protocol: "validation", or "official" if something was chosen on the test split.
      models: Name -> predictions.
    """

    ids: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    protocol: str
    models: Mapping[str, Scored]

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes `predictions.npz` into a run folder."""
        arrays = {
            "ids": self.ids,
            "labels": np.asarray(self.labels, np.int8),
            "label_names": np.array(self.label_names),
            "protocol": np.array(self.protocol),
            "models": np.array(list(self.models)),
        }
        for number, model in enumerate(self.models.values()):
            arrays[f"probs_{number}"] = np.asarray(model.probs, np.float32)
            arrays[f"thresholds_{number}"] = np.asarray(model.thresholds, np.float64)
        path = Path(folder) / FILE
        np.savez_compressed(path, **arrays)
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Predictions":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: If the folder holds no predictions.
          ValueError: If the file is damaged or lacks something; names it.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}; is this the folder of a finished run?")
        try:
            with np.load(path, allow_pickle=False) as file:
                models = {
                    str(name): Scored(
                        np.asarray(file[f"probs_{number}"], np.float64),
                        file[f"thresholds_{number}"],
                    )
                    for number, name in enumerate(file["models"])
                }
                return cls(
                    file["ids"],
                    file["labels"],
                    tuple(map(str, file["label_names"])),
                    str(file["protocol"]),
                    models,
                )
        except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged or holds no predictions: {error}") from error
