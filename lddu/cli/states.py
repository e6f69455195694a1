"""Fitted calibrators and label sets as JSON files with the names of their labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lddu import files

if TYPE_CHECKING:
    from lddu.calibration import Calibrator
    from lddu.calibration.conformal import RiskControl


def write_sets(path: Path, state: "RiskControl", labels: Sequence[str], promise: str) -> Path:
    """Writes fitted label sets, and what they promise in words."""
    content = {
        "sets": promise,
        "labels": list(labels),
        # JSON has no infinity; a label that is in no set has the threshold null.
        "threshold": _finite(state.threshold),
        "found": np.asarray(state.found).tolist(),
        "rank": state.rank,
    }
    return files.write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_sets(path: Path, labels: Sequence[str]) -> "RiskControl":
    """Reads what `write_sets` wrote, for a model with these labels.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged, or was fitted for other labels, naming both.
    """
    from lddu.calibration.conformal import RiskControl

    content = _read(path, labels, "sets", "lddu conformal")
    try:
        threshold = np.array(content["threshold"], float)
        threshold = np.where(np.isnan(threshold), np.inf, threshold)
        found = np.array(content["found"], bool)
        if threshold.shape not in ((), (len(labels),)) or found.shape != threshold.shape:
            raise ValueError(f"thresholds of shape {threshold.shape} for {len(labels)} labels")
        if content["rank"] not in ("probability", "share"):
            raise ValueError(f"rank is {content['rank']!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
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

    content = {"calibrator": method, "labels": list(labels), **serialization.to_json(state)}
    return files.write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_calibrator(path: Path, labels: Sequence[str]) -> "Calibrator":
    """Reads what `write_calibrator` wrote, for a table with these labels.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged, or was fitted for other labels, naming both.
    """
    from lddu.calibration import serialization

    content = _read(path, labels, "calibrator", "lddu calibrate")
    try:
        return serialization.from_json(content, len(labels))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


_FALLBACK = " (a fallback: too few rows, or too weak a model, to show that any threshold will do)"


def _finite(values: np.ndarray) -> Any:
    return np.where(np.isfinite(values), values, None).tolist()


def _read(path: Path, labels: Sequence[str], kind: str, command: str) -> dict[str, Any]:
    """Reads a JSON file of a kind, and checks that it is about these labels."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict) or kind not in content:
        raise ValueError(f"{path} was not written by `{command}`")
    if content.get("labels") != list(labels):
        raise ValueError(
            f"{path} was fitted for labels {content.get('labels')}, but these are {list(labels)}"
        )
    return content
