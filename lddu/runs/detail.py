"""`detail.npz`: what a run keeps of each test sample beyond its probabilities."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from scipy.special import expit, ndtri

from lddu.calibration import Identity, apply
from lddu.files import Spec, atomic_path, damage_named, read_npz
from lddu.predictor import Members, Predictor
from lddu.predictor.combination import mean_logits, of_labels
from lddu.runs.neighbours import nearest
from lddu.structs import Batch

FILE = "detail.npz"
LEVEL = 0.95
"""Confidence level of the intervals."""
MOST_NEIGHBOURS = 20_000
"""Largest number of samples whose neighbours are found: the time for it grows with its square."""
_NEIGHBOURS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Detail:
    """What the main model of a run tells of N test samples, C labels and M modalities.

    A field is None where the model does not have it, such as a modality's own opinion with the
    fusion "gate", or where there are too many samples for it.

    Attributes:
      aleatoric: (N, C) aleatoric part of the variance, as in `lddu.Prediction`.
      epistemic: (N, C) epistemic part of the variance.
      low: (N, C) lower end of the interval of each probability, see `of_members`.
      high: (N, C) upper end.
      unimodal: (N, C, M) uncalibrated probability from each modality alone.
      observed: (N, M) bool, whether a sample has the modality.
      neighbours: (N, K) rows of the nearest samples in the latent space, the nearest first.
      distances: (N, K) their distances, see `lddu.runs.neighbours.nearest`.
    """

    aleatoric: np.ndarray | None = None
    epistemic: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    unimodal: np.ndarray | None = None
    observed: np.ndarray | None = None
    neighbours: np.ndarray | None = None
    distances: np.ndarray | None = None

    def present(self) -> dict[str, np.ndarray]:
        """Returns the fields that are not None, by name."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: array for name, array in fields.items() if array is not None}

    def save(self, folder: str | os.PathLike) -> Path:
        """Writes `detail.npz` into a run folder, and returns its path."""
        path = Path(folder) / FILE
        kinds = {"observed": bool, "neighbours": np.int32}
        arrays = {
            name: np.asarray(array, kinds.get(name, np.float32))
            for name, array in self.present().items()
        }
        with atomic_path(path) as partial:
            np.savez_compressed(partial, **arrays)
        return path

    @classmethod
    def load(
        cls, folder: str | os.PathLike, rows: int, labels: int, modalities: int
    ) -> "Detail | None":
        """Reads what `save` wrote; None if the folder holds none.

        Args:
          folder: The run folder.
          rows: Number of test samples that the file must have.
          labels: Number of labels.
          modalities: Number of modalities.

        Raises:
          ValueError: If the file is damaged or does not fit; names it.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        sizes = {"n": rows, "c": labels, "m": modalities}
        arrays = read_npz(path, lambda found: _check_shapes(found, sizes))
        with damage_named(path):
            _check_values(arrays, rows)
        return cls(**arrays)


def fields(rows: int) -> tuple[str, ...]:
    """Returns the fields that `Predictor.members` must keep for `of_members`, and the weights."""
    kept = ("weights", "logit_mean", "logit_var", "logit_disagreement", "unimodal_logits")
    return kept if rows > MOST_NEIGHBOURS else (*kept, "fused")


def of_members(
    predictor: Predictor, members: Members, batch: Batch, *, calibrated: bool = True
) -> Detail:
    """Returns the detail of predicted samples.

    The interval of a probability is that of the Gaussian logit, with the members' disagreement in
    its variance, mapped to probabilities as the logit is: its calibrator moves one label at a time.

    Args:
      predictor: The ensemble.
      members: Its predictions, with the fields that `fields` names.
      batch: The samples.
      calibrated: Whether the main model is the calibrated one.
    """
    rest = members.rest
    prediction = predictor.combine(members, calibrated=calibrated)
    found = dict(aleatoric=prediction.aleatoric, epistemic=prediction.epistemic)
    found["observed"] = batch.observed(predictor.config.model.modality_names)
    if rest.logit_mean is not None:
        found["low"], found["high"] = _interval(predictor, members, calibrated)
    if rest.unimodal_logits is not None:
        found["unimodal"] = expit(rest.unimodal_logits)
    if rest.fused is not None:
        found["neighbours"], found["distances"] = nearest(rest.fused, _NEIGHBOURS)
    return Detail(**jax.tree.map(np.asarray, found))


def pool(parts: Sequence[Detail]) -> Detail:
    """Joins the detail of different samples, such as of folds, whose neighbours stay their own."""
    arrays = [part.present() for part in parts]
    shared = set.intersection(*map(set, arrays))
    joined = {}
    for name in shared:
        blocks = [each[name] for each in arrays]
        if name in ("neighbours", "distances"):
            count = min(block.shape[1] for block in blocks)
            blocks = [block[:, :count] for block in blocks]
        if name == "neighbours":
            starts = np.cumsum([0, *map(len, blocks[:-1])])
            blocks = [block + start for block, start in zip(blocks, starts, strict=True)]
        joined[name] = np.concatenate(blocks)
    return Detail(**joined)


def _interval(
    predictor: Predictor, members: Members, calibrated: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of the intervals of probabilities, each (N, C)."""
    rest = members.rest
    state = of_labels(predictor.calibrator, predictor.labels) if calibrated else Identity()
    half = ndtri((1 + LEVEL) / 2) * np.sqrt(rest.logit_var + rest.logit_disagreement)
    centre = np.asarray(mean_logits(members.logits))
    ends = np.stack([rest.logit_mean - half, rest.logit_mean + half])
    moved = np.empty_like(ends)
    for c in range(centre.shape[1]):
        for end, result in zip(ends, moved, strict=True):
            logits = centre.copy()
            logits[:, c] = end[:, c]
            result[:, c] = apply(state, logits)[:, c]
    # A calibrator may have a negative slope, and leaves samples without any input as they are.
    moved = np.where(np.asarray(members.seen)[:, None], np.sort(moved, axis=0), ends)
    return tuple(expit(moved))


_AXES = {
    "aleatoric": "nc",
    "epistemic": "nc",
    "low": "nc",
    "high": "nc",
    "unimodal": "ncm",
    "observed": "nm",
    "neighbours": "nk",
    "distances": "nk",
}
_KINDS = {"observed": "b", "neighbours": "i"}


def _check_shapes(found: Mapping[str, Spec], sizes: Mapping[str, int]) -> None:
    """Raises ValueError unless arrays of these shapes and types are those of a `Detail`."""
    sizes = dict(sizes)
    for name, spec in found.items():
        if name not in _AXES:
            raise ValueError(f"unknown array {name}")
        if spec.dtype.kind != _KINDS.get(name, "f") or len(spec.shape) != len(_AXES[name]):
            raise ValueError(f"{name} is {spec}")
        for axis, size in zip(_AXES[name], spec.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"{name} is {spec}, expected {sizes[axis]} in place of {size}")
    for one, other in (("low", "high"), ("neighbours", "distances"), ("aleatoric", "epistemic")):
        if (one in found) != (other in found):
            raise ValueError(f"of {one} and {other} there is only one")


def _check_values(arrays: Mapping[str, np.ndarray], rows: int) -> None:
    """Raises ValueError unless the arrays hold values of a `Detail`."""
    largest = {"neighbours": rows - 1, "distances": np.finfo(np.float32).max}
    for name, array in arrays.items():
        most = largest.get(name, 1)
        if not ((array >= 0) & (array <= most)).all():
            raise ValueError(f"{name} is not in [0, {most:g}]")
    if "low" in arrays and (arrays["low"] > arrays["high"]).any():
        raise ValueError("low is above high")
