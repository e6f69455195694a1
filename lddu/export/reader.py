"""`load` reads a model that `lddu.export` wrote, with jax, flatbuffers and numpy alone.

This file imports nothing else of lddu and needs no flax, optax or orbax: where the library is not
to be installed, copy the file. Where even that is too much, the model's own `README.txt` (in the
file, which is a ZIP archive) does the same with `jax.export.deserialize` in a dozen lines.
"""

import dataclasses
import hashlib
import json
import os
import reprlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export  # not loaded by `import jax`
import numpy as np

FORMAT = 1
INFO, MODEL, README = "model.json", "model.jax", "README.txt"  # in the archive

_REMEDY = "Restore the file from a copy, or export the model again"

Arrays = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class ExportedPredictor:
    """A trained model as compiled code: all members, normalisation, calibrator and thresholds.

    Each new shape of the input, which is the number of rows and the padded length of each modality,
    is compiled once per process, in seconds; give `batch_size` to keep the number of rows the same.

    Attributes:
      labels: Names of the C labels.
      modalities: Name -> (width D of a step, most steps), in the order of the last axis of
        "weights".
      platforms: What it can run on: "cpu", "cuda", "rocm", "tpu".
      thresholds: (C,) on the probabilities, behind "decisions".
      info: All of `model.json`.
      call: The function itself, without checks, jitted: call(values, mask, present) -> dict.
    """

    labels: tuple[str, ...]
    modalities: dict[str, tuple[int, int]]
    platforms: tuple[str, ...]
    thresholds: np.ndarray
    info: dict[str, Any]
    call: Callable[[Arrays, Arrays, Arrays], dict[str, jax.Array]]

    def __call__(
        self,
        values: Any,
        mask: Arrays | None = None,
        present: Arrays | None = None,
        *,
        batch_size: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Predicts; what it gives is what `Predictor.predict` gives.

        Args:
          values: Name -> (B, T, D) raw (not normalised) features, or an `lddu.Batch` in place of
            all three. Modalities that the model does not know are left aside.
          mask: Name -> (B, T) bool, True where a step is real and False where it is padding.
          present: Name -> (B,) bool, whether a sample has the modality at all; None where the mask
            says it all.
          batch_size: Rows per device call, the last one filled up; None puts all rows in one.

        Returns:
          Name -> array: "probs", "decisions" (bool), "aleatoric" and "epistemic" (B, C); where the
          fusion has them also "logit_var" and "logit_disagreement" (B, C) and "weights" (B, C, M).
          The fields of `lddu.Prediction` of the same names say what they are.

        Raises:
          ValueError: If the input does not fit the model; says how. Also where this process runs
            on a platform that the model was not exported for.
        """
        if hasattr(values, "modalities"):
            if mask is not None or present is not None:
                raise ValueError("a Batch holds its own mask and present; give it alone")
            mask = {name: m.mask for name, m in values.modalities.items()}
            present = values.present
            values = {name: m.values for name, m in values.modalities.items()}
        inputs = self._check(values, mask, present)
        if batch_size is None:
            return jax.device_get(self.call(*inputs))
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} is not at least 1")
        parts = list(self._parts(inputs, batch_size))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _parts(self, inputs: tuple, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
        size = len(next(iter(inputs[2].values())))
        before = None
        for start in range(0, size, batch_size):
            rows = np.minimum(np.arange(start, start + batch_size), size - 1)
            now = self.call(*jax.tree.map(lambda x, rows=rows: x[rows], inputs))
            if before is not None:  # fetched while the device already works on the next
                yield jax.device_get(before)
            before = now
        left = size - start
        yield {name: x[:left] for name, x in jax.device_get(before).items()}

    def _check(self, values: Arrays, mask: Arrays | None, present: Arrays | None) -> tuple:
        """The three inputs as checked NumPy arrays of the types that the model takes."""
        if mask is None:
            raise ValueError(
                "mask is missing: give name -> (B, T) bool, True at real steps; without padding "
                "that is np.ones(values[name].shape[:2], bool)"
            )
        for what, given in (("values", values), ("mask", mask), ("present", present)):
            if given is None:
                continue
            missing = [name for name in self.modalities if name not in given]
            if missing:
                raise ValueError(
                    f"{what} lacks modalities {missing}; it has {sorted(given)}. For samples "
                    "without a modality give its arrays with an all-False mask"
                )
        checked: tuple[dict, dict, dict] = ({}, {}, {})
        size = None
        for name, (width, length) in self.modalities.items():
            x = _floats(name, values[name])
            if x.ndim != 3 or x.shape[2] != width or size not in (None, x.shape[0]):
                rows = "rows" if size is None else size
                raise ValueError(
                    f"modality {name!r}: values have shape {x.shape}, expected ({rows}, steps, "
                    f"{width})"
                )
            if not 1 <= x.shape[1] <= length:
                raise ValueError(
                    f"modality {name!r}: {x.shape[1]} steps, but the model takes 1 to {length}; "
                    "a modality without any step is one masked step"
                )
            size = x.shape[0]
            if size == 0:
                raise ValueError("values have no rows")
            real = _flags(f"mask[{name!r}]", mask[name], x.shape[:2])
            here = np.ones(size, bool)
            if present is not None:
                here = _flags(f"present[{name!r}]", present[name], (size,))
            bad = ~np.isfinite(x).all(-1) & real & here[:, None]
            if bad.any():
                row, step = np.argwhere(bad)[0]
                raise ValueError(
                    f"modality {name!r}: NaN or infinity at {int(bad.sum())} real steps, first in "
                    f"row {row}, step {step}; mask these steps or replace the values"
                )
            for arrays, array in zip(checked, (x, real, here), strict=True):
                arrays[name] = array
        return checked


def load(path: str | os.PathLike) -> ExportedPredictor:
    """Reads a model that `lddu.export` wrote.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If it is damaged, of another format, or no exported model; names the field.
      ImportError: If flatbuffers is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no exported model at {path}")
    text, model = _members(path)
    try:
        info = _information(text)
        if info.get("sha256") != hashlib.sha256(model).hexdigest():
            raise ValueError(f"sha256 is not that of {MODEL}")
    except ValueError as error:
        raise ValueError(f"{path}: {INFO} is damaged: {error}. {_REMEDY}") from error
    labels = tuple(info["labels"])
    modalities = {m["name"]: (m["features"], m["length"]) for m in info["modalities"]}
    try:
        exported = jax.export.deserialize(bytearray(model))
    except ImportError as error:
        raise ImportError(f"{error}; pip install flatbuffers") from error
    except Exception as error:  # flatbuffers and JAX raise many kinds
        raise ValueError(f"{path}: {MODEL} cannot be read: {error}. {_REMEDY}") from error
    if _described(exported) != (len(labels), {name: d for name, (d, _) in modalities.items()}):
        raise ValueError(f"{path}: {INFO} describes another model than {MODEL}. {_REMEDY}")
    platforms = tuple(exported.platforms)
    thresholds = np.array(info["thresholds"], float)
    return ExportedPredictor(
        labels, modalities, platforms, thresholds, info, jax.jit(exported.call)
    )


def _members(path: Path) -> tuple[bytes, bytes]:
    """Reads the description and the program, unless the archive claims more than it can hold."""
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for name in (INFO, MODEL):  # stored as they are, so no larger than the archive
                    size = archive.getinfo(name).file_size
                    if size > path.stat().st_size:
                        raise ValueError(f"{name} claims {size} bytes")
                return archive.read(INFO), archive.read(MODEL)
        except Exception as error:  # zipfile raises many kinds
            raise ValueError(
                f"{path} is damaged or no exported model: {error}. {_REMEDY}"
            ) from error


def _information(text: bytes) -> dict[str, Any]:
    """Reads the description; its required fields have the right types and fit together."""
    try:
        info = json.loads(text.decode("utf-8"))
    except RecursionError:
        raise ValueError("values are nested too deeply") from None
    if not isinstance(info, dict):
        raise ValueError("it holds no JSON object")

    def require(ok: bool, value: Mapping[str, Any], name: str, expected: str) -> None:
        if not ok:
            found = reprlib.repr(value[name]) if name in value else "missing"
            raise ValueError(f"{name} is {found}, expected {expected}")

    require(info.get("format") == FORMAT, info, "format", f"{FORMAT}, which this reader knows")
    labels = info.get("labels")
    require(_all(labels, _is_text) and bool(labels), info, "labels", "a list of texts")
    given = info.get("modalities")
    require(_all(given, _is_object) and bool(given), info, "modalities", "a list of objects")
    for m in given:
        require(_is_text(m.get("name")), m, "name", "text")
        for size in ("features", "length"):
            require(type(m.get(size)) is int and m[size] > 0, m, size, "a positive integer")
    names = [m["name"] for m in given]
    require(len(set(names)) == len(names), info, "modalities", "unique names")
    thresholds = info.get("thresholds")
    fits = _all(thresholds, _is_finite) and len(thresholds) == len(labels)
    require(fits, info, "thresholds", f"{len(labels)} finite numbers, one per label")
    return info


def _all(values: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(values, list) and all(map(fits, values))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300


def _described(exported: jax.export.Exported) -> tuple[int, dict[str, int]] | None:
    """The number of labels and the widths of the modalities, as the model itself has them."""
    try:
        (values, _, _), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
        outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
        return outputs["probs"].shape[1], {name: x.shape[2] for name, x in values.items()}
    except Exception:  # as many kinds as there are other programs
        return None


def _floats(name: str, values: Any) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # infinite then, which is looked for
            return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"modality {name!r}: values are no numbers: {error}") from error


def _flags(what: str, flags: Any, shape: tuple[int, ...]) -> np.ndarray:
    flags = np.asarray(flags)
    if flags.shape != shape or flags.dtype != bool:
        raise ValueError(f"{what} is {flags.dtype} {flags.shape}, expected bool {shape}")
    return flags
