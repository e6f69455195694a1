"""What the explorer shows of a run, as JSON values."""

import base64
from typing import Any

import numpy as np

from lddu import metrics
from lddu.runs import detail
from lddu.runs.run import Run

MOST = 2_000_000
"""Largest number of decisions (samples times labels) that one page holds."""
_STEPS = 65_535  # of a number in [0, 1] that is only looked at
_EXACT = ("probs", "labels", "aleatoric", "epistemic", "distances")

# What a run may lack, and what it is called.
_PARTS = {
    "aleatoric": "aleatoric and epistemic uncertainty",
    "low": "intervals of the probabilities",
    "weights": "modality weights",
    "unimodal": "the modalities' own opinions",
    "neighbours": "neighbours in the latent space",
}


def content(run: Run) -> dict[str, Any]:
    """Returns the data of the page: the first run of the main model, with its detail.

    Arrays are packed as their kind, shape and little-endian bytes in base64: f8, f4 and i4 are
    numbers as they are, u2 are numbers in [0, 1] in steps of 1 / 65,535, u1 are booleans.

    Args:
      run: The run.

    Raises:
      ValueError: If the run has more than `MOST` decisions.
    """
    predictions = run.predictions
    rows, labels = np.shape(predictions.labels)
    if rows * labels > MOST:
        raise ValueError(
            f"{rows:,} samples of {labels} labels are {rows * labels:,} decisions; the explorer "
            f"holds at most {MOST:,}. Evaluate fewer samples"
        )
    main = predictions.models[predictions.main]
    # Cuts are (N, C) only where they differ between samples.
    cuts = main.thresholds[0] if main.thresholds.ndim == 3 else main.thresholds[:1]
    arrays = {"probs": main.probs[0], "labels": predictions.labels}
    if run.weights is not None:
        arrays["weights"] = run.weights
    if run.detail is not None:
        arrays |= run.detail.present()
    return {
        "title": run.title,
        "model": predictions.main,
        "labels": list(predictions.label_names),
        "modalities": list(run.config.model.modality_names),
        "ids": [str(name) for name in predictions.ids],
        "bins": metrics.reliability([[0.5]], [[1]]).edges.tolist(),
        "level": detail.LEVEL,
        "missing": [text for name, text in _PARTS.items() if name not in arrays],
        "columns": {
            "thresholds": _pack(cuts, "f8"),
            **{name: _pack(array, _kind(name, array)) for name, array in arrays.items()},
        },
    }


def _kind(name: str, array: np.ndarray) -> str:
    """Returns how an array is packed: exactly, if scores and orders depend on it."""
    return {"b": "u1", "i": "i4"}.get(
        "f" if name == "labels" else array.dtype.kind, "f4" if name in _EXACT else "u2"
    )


def _pack(array: np.ndarray, kind: str) -> dict[str, Any]:
    """Returns an array as JSON values."""
    if kind == "u2":
        array = np.rint(np.clip(array, 0, 1) * _STEPS)
    data = np.ascontiguousarray(array, f"<{kind}").tobytes()
    return {"kind": kind, "shape": np.shape(array), "data": base64.b64encode(data).decode()}
