"""Fitted calibrators and label sets as JSON files with the names of their labels."""

import json
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from lddu.files import damage_named, read_json, write_text

if TYPE_CHECKING:
    from lddu.calibration import Calibrator
    from lddu.calibration.conformal import RiskControl

_FALLBACK = " (a fallback: too few rows, or too weak a model, to show that any threshold will do)"


class _Sets(TypedDict):
    """A file of label sets; JSON's Infinity is the threshold of a label that is in no set."""

    promise: str
    labels: tuple[str, ...]
    threshold: np.ndarray
    found: bool | list[bool]
    rank: Literal["probability", "share"]


class _Calibrator(TypedDict):
    """A file of a calibrator."""

    method: str
    labels: tuple[str, ...]
    type: str
    state: dict[str, np.ndarray]


def write_sets(path: Path, state: "RiskControl", labels: Sequence[str], promise: str) -> Path:
    """Writes fitted label sets, and what they promise in words."""
    content = {
        "promise": promise,
        "labels": list(labels),
        "threshold": np.asarray(state.threshold).tolist(),
        "found": np.asarray(state.found).tolist(),
        "rank": state.rank,
    }
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_sets(path: Path, labels: Sequence[str]) -> "RiskControl":
    """Reads what `write_sets` wrote, for a model with these labels.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged, or was fitted for other labels, naming both.
    """
    from lddu.calibration.conformal import RiskControl

    content = read_json(path, _Sets, infinite=True)
    _same_labels(path, content["labels"], labels)
    threshold, found = content["threshold"], np.array(content["found"])
    with damage_named(path):
        if threshold.shape not in ((), (len(labels),)) or found.shape != threshold.shape:
            raise ValueError(f"threshold has shape {threshold.shape} for {len(labels)} labels")
    return RiskControl(threshold, found, content["rank"])


def describe_sets(state: "RiskControl", labels: Sequence[str], promise: str) -> str:
    """Returns the thresholds in words."""
    cuts, found = np.broadcast_arrays(state.threshold, state.found)
    if not cuts.ndim:
        return f"{promise}: labels with {state.rank} >= {cuts:.4g}{'' if found else _FALLBACK}"
    lines = [
        f"  {name}: {state.rank} >= {cut:.4g}{'' if shown else _FALLBACK}"
        for name, cut, shown in zip(labels, cuts, found, strict=True)
    ]
    return "\n".join([f"{promise}, within each label:", *lines])


def write_calibrator(path: Path, state: "Calibrator", labels: Sequence[str], method: str) -> Path:
    """Writes a fitted calibrator with the names of its labels."""
    from lddu.calibration import serialization

    content = {"method": method, "labels": list(labels), **serialization.to_json(state)}
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_calibrator(path: Path, labels: Sequence[str]) -> "Calibrator":
    """Reads what `write_calibrator` wrote, for a table with these labels.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged, or was fitted for other labels, naming both.
    """
    from lddu.calibration import serialization

    content = read_json(path, _Calibrator)
    _same_labels(path, content["labels"], labels)
    with damage_named(path):
        return serialization.from_json(content, len(labels))


def _same_labels(path: Path, fitted: Sequence[str], labels: Sequence[str]) -> None:
    if tuple(fitted) != tuple(labels):
        raise ValueError(
            f"{path} was fitted for labels {reprlib.repr(fitted)}, but these are {list(labels)}"
        )
