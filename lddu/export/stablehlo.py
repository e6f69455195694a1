"""A trained `Predictor` as one StableHLO file that runs with JAX alone.

    lddu.export.export(predictor, "model.lddu")
    model = lddu.export.load("model.lddu")
    model(batch)["probs"]

The file holds a program (by `jax.export`) and a description. It is a ZIP archive of
`model.jax`, `model.json` and a `README.txt` that says how to run it with jax alone; `load` comes
from `lddu.export.reader`, a single file that can be copied. JAX promises that releases of the next
six months at least can still run it.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export

from lddu.config import ModelConfig
from lddu.export.program import array, describe, open_sizes, prediction
from lddu.export.reader import FORMAT, INFO, MODEL, README, ExportedPredictor, load
from lddu.files import atomic_path
from lddu.predictor import Predictor
from lddu.version import __version__

__all__ = ["PLATFORMS", "ExportedPredictor", "export", "load"]

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""Platforms that a model can be exported for, from any machine."""

_README = """\
A trained multi-label classifier, exported by lddu {version}. To run it: pip install jax flatbuffers

Inputs are three dicts, name of the modality -> array: values (B, T, D) float32, not normalised;
mask (B, T) bool, True at real steps and False at padding; present (B,) bool, whether the sample has
the modality at all. Any B from 1; any T from 1 to the length in model.json. Each new shape is
compiled once per process.

Outputs, for C labels and M modalities, in the orders of model.json: probs (B, C) calibrated
probabilities; decisions (B, C) bool, probs at or above the thresholds; aleatoric and epistemic
(B, C), the two parts of the variance p (1 - p) of a label; where the model has them, logit_var and
logit_disagreement (B, C), the same two parts for the log-odds, and weights (B, C, M), the share of
each modality.

Real steps must be finite and names and widths must fit: lddu.export.load checks, this does not.

import json, zipfile
import jax, jax.export, numpy as np

with zipfile.ZipFile("model.lddu") as file:
    info = json.loads(file.read("model.json"))
    model = jax.jit(jax.export.deserialize(bytearray(file.read("model.jax"))).call)
shapes = {{m["name"]: (1, m["length"], m["features"]) for m in info["modalities"]}}
values = {{name: np.zeros(shape, np.float32) for name, shape in shapes.items()}}  # your data
mask = {{name: np.ones(shape[:2], bool) for name, shape in shapes.items()}}
present = {{name: np.ones(shape[0], bool) for name, shape in shapes.items()}}
output = model(values, mask, present)
print(dict(zip(info["labels"], np.asarray(output["probs"])[0].tolist())))
"""


def export(
    predictor: Predictor,
    path: str | os.PathLike,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> Path:
    """Writes a predictor, with all of its members, as one file; `load` reads it.

    The number of rows and the length of each modality stay open, up to the configured lengths. The
    file is about as large as the parameters, and nothing in it is random.

    The uncalibrated logits equal those of `predict` up to rounding. The calibrator magnifies such
    a difference by its slope at most: an isotonic map fitted by this library has a bounded slope
    (`lddu.calibration.isotonic`), and every calibrated probability lies between those of two
    logits that close to the exact one. A decision can differ where a probability is that close to
    its threshold.

    Args:
      predictor: A trained predictor.
      path: The file to write; it must not exist, its folder is created.
      platforms: Platforms of `PLATFORMS` to export for. None of them needs to be available.

    Returns:
      The absolute path.

    Raises:
      FileExistsError: If `path` exists.
      ValueError: If a platform is unknown.
      ImportError: If flatbuffers is not installed.
    """
    platforms = tuple(dict.fromkeys([platforms] if isinstance(platforms, str) else platforms))
    unknown = [name for name in platforms if name not in PLATFORMS]
    if unknown or not platforms:
        raise ValueError(f"platforms={list(platforms)}: choose from {', '.join(PLATFORMS)}")
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError("export needs flatbuffers: pip install 'lddu[export]'")
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another path")
    config = predictor.config.model
    with _without_source_paths():
        exported = jax.export.export(jax.jit(prediction(predictor)), platforms=platforms)(
            *_specifications(config)
        )
    model = bytes(exported.serialize())
    info = {
        "format": FORMAT,
        **describe(predictor, platforms),
        "sha256": hashlib.sha256(model).hexdigest(),
    }
    contents = {
        INFO: json.dumps(info, indent=2),
        README: _README.format(version=__version__),
        MODEL: model,
    }
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as file:
        for name, content in contents.items():
            file.writestr(zipfile.ZipInfo(name), content)  # no date: the same file each time
    return path


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """Keeps the paths of this machine's source files out of the program."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _specifications(config: ModelConfig) -> tuple[dict[str, Any], ...]:
    """Returns the shapes and types of values, mask and present, with open sizes."""
    batch, times = open_sizes(config)
    sized = list(zip(config.modalities, times, strict=True))
    return (
        {m.name: array((batch, t, m.features)) for m, t in sized},
        {m.name: array((batch, t), bool) for m, t in sized},
        {m.name: array((batch,), bool) for m, _ in sized},
    )
