"""A trained `Predictor` as one file that runs without this library.

    lddu.export.export(predictor, "model.lddu")
    model = lddu.export.load("model.lddu")
    model(batch)["probs"]

The file holds a program (StableHLO, by `jax.export`) and a description. It is a ZIP archive of
`model.jax`, `model.json` and a `README.txt` that says how to run it with jax alone; `load` comes
from `lddu.export.reader`, a single file that can be copied. JAX promises that releases of the next
six months at least can still run it.
"""

import contextlib
import importlib.util
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from lddu.config import ModelConfig
from lddu.export.reader import FORMAT, INFO, MODEL, README, ExportedPredictor, load
from lddu.predictor import inference
from lddu.predictor.predictor import Predictor
from lddu.structs import Batch, Modality
from lddu.version import __version__

__all__ = ["PLATFORMS", "ExportedPredictor", "export", "load"]

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""What a model can be exported for, from any machine."""

_OPTIONAL = ("logit_var", "weights")  # of some fusions only

_README = """\
A trained multi-label classifier, exported by lddu {version}. To run it: pip install jax flatbuffers

Inputs are three dicts, name of the modality -> array: values (B, T, D) float32, not normalised;
mask (B, T) bool, True at real steps and False at padding; present (B,) bool, whether the sample has
the modality at all. Any B from 1; any T from 1 to the length in model.json. Each new shape is
compiled once per process.

Outputs, for C labels and M modalities, in the orders of model.json: probs (B, C) calibrated
probabilities; decisions (B, C) bool, probs at or above the thresholds; aleatoric and epistemic
(B, C), the two parts of the variance of a label; where the model has them, logit_var (B, C) and
weights (B, C, M), the share of each modality.

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
    file is about as large as the parameters; nothing is random in it. It gives the probabilities of
    `predict` up to rounding, which a steep step of an isotonic map can magnify; the decision of a
    probability that lies on its threshold may then differ.

    Args:
      predictor: A trained one.
      path: A new file; folders are made.
      platforms: Some of `PLATFORMS`. None of them needs to be there.

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
        exported = jax.export.export(jax.jit(_function(predictor)), platforms=platforms)(
            *_specifications(config)
        )
    contents = {
        INFO: json.dumps(_info(predictor, platforms), indent=2),
        README: _README.format(version=__version__),
        MODEL: bytes(exported.serialize()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved, so that a killed export leaves no half file at `path`.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        partial = Path(folder) / "model"
        with zipfile.ZipFile(partial, "w") as file:
            for name, content in contents.items():
                file.writestr(zipfile.ZipInfo(name), content)  # no date: the same file each time
        partial.rename(path)
    return path


@contextlib.contextmanager
def _without_source_paths() -> Iterator[None]:
    """Else the program names the source files of this machine, with their folders."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _function(predictor: Predictor) -> Callable[..., dict[str, jax.Array]]:
    """What `Predictor.predict` computes, as one function of arrays with all else inside."""
    names = predictor.config.model.modality_names
    thresholds = _thresholds(predictor)

    def run(values, mask, present):
        batch = Batch({name: Modality(values[name], mask[name]) for name in names}, present)
        members = inference.forward(predictor.config.model)(
            predictor.params, predictor.normalizer, batch, {}
        )
        seen = batch.observed(names).any(-1)
        outputs = inference.combine_members(members.logits, predictor.calibrator, seen)
        outputs = {name: outputs[name] for name in ("probs", "aleatoric", "epistemic")}
        outputs["decisions"] = outputs["probs"] >= thresholds
        rest = {name: getattr(members.rest, name) for name in _OPTIONAL}
        return outputs | {name: x for name, x in rest.items() if x is not None}

    return run


def _thresholds(predictor: Predictor) -> np.ndarray:
    """The smallest float32 that are not below the thresholds, so that they decide the same."""
    exact = np.asarray(predictor.thresholds, np.float64)
    near = exact.astype(np.float32)
    return np.where(near < exact, np.nextafter(near, np.float32(np.inf)), near)


def _specifications(config: ModelConfig) -> tuple[dict[str, Any], ...]:
    """Shapes and types of values, mask and present, with open sizes."""
    steps = [f"time_{i}" for i in range(len(config.modalities))]
    limits = [f"{t} <= {m.length}" for t, m in zip(steps, config.modalities, strict=True)]
    batch, *times = jax.export.symbolic_shape(", ".join(["batch", *steps]), constraints=limits)
    sized = list(zip(config.modalities, times, strict=True))

    def array(shape: tuple, dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    return (
        {m.name: array((batch, t, m.features), jnp.float32) for m, t in sized},
        {m.name: array((batch, t), jnp.bool_) for m, t in sized},
        {m.name: array((batch,), jnp.bool_) for m, _ in sized},
    )


def _info(predictor: Predictor, platforms: Sequence[str]) -> dict[str, Any]:
    config = predictor.config.model
    return {
        "format": FORMAT,
        "labels": list(config.labels),
        "modalities": [
            {"name": m.name, "features": m.features, "length": m.length} for m in config.modalities
        ],
        "thresholds": np.asarray(predictor.thresholds, float).tolist(),
        "members": int(jax.tree.leaves(predictor.params)[0].shape[0]),
        "platforms": list(platforms),
        "lddu": __version__,
        "jax": jax.__version__,
    }
