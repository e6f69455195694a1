"""A trained `Predictor` as an ONNX file, for runtimes that have no JAX.

    lddu.export.onnx.export_onnx(predictor, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx")
    (probs,) = session.run(["probs"], {"values/text": ..., "mask/text": ..., "present/text": ...})

Needs `pip install 'lddu[onnx]'` to write and onnxruntime or the like to run. Where JAX can run,
`lddu.export` is the better choice: it lowers the very program that `predict` runs, in less time.
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from lddu.calibration import Calibrator, Identity, Isotonic, apply
from lddu.config import ModelConfig, replace
from lddu.data.normalize import normalize
from lddu.export import stablehlo as exporting
from lddu.model import LDDU
from lddu.predictor import inference
from lddu.predictor.predictor import Predictor
from lddu.structs import Batch, Modality, Prediction

_INPUTS = ("values", "mask", "present")
_TOLERANCE = 1e-4


def export_onnx(predictor: Predictor, path: str | os.PathLike) -> Path:
    """Writes a predictor, with all of its members, as one ONNX file.

    Inputs, for each modality NAME of width D; the number of rows B and the lengths T stay open:
      values/NAME: (B, T, D) float32, not normalised; any T from 1 to the configured length, or
        that length itself where the modality has a stride.
      mask/NAME: (B, T) bool, True at real steps and False at padding.
      present/NAME: (B,) bool, whether the sample has the modality at all.

    Outputs, for C labels and M modalities:
      probs: (B, C) float32, calibrated.
      decisions: (B, C) bool, probs at or above the thresholds.
      aleatoric, epistemic: (B, C) float32, the two parts of the variance of a label.
      logit_var (B, C) and weights (B, C, M): float32, with the fusions precision and equal.

    The metadata entry "lddu" is JSON: names of labels and modalities in order, thresholds. The file
    does not check its input: real steps must be finite, and no T may be beyond the length. It
    computes in float32 and holds the full attention weights, whatever
    `encoder.dtype` and `encoder.attention` are.

    jax2onnx is not of this library, so what it made is compared with `predict` (in float32) before
    it is written, on random rows by onnxruntime. The conversion takes a good many seconds; more
    with each modality and layer, not with each member.

    Args:
      predictor: A trained one.
      path: A new file; folders are made. Up to 2 GB, the most that one ONNX file can hold.

    Returns:
      The absolute path.

    Raises:
      FileExistsError: If `path` exists.
      ImportError: If jax2onnx or onnxruntime is not installed.
      RuntimeError: If the converted model does not predict as the predictor does.
    """
    missing = [name for name in ("jax2onnx", "onnxruntime") if not importlib.util.find_spec(name)]
    if missing:
        raise ImportError(f"export_onnx needs {' and '.join(missing)}: pip install 'lddu[onnx]'")
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another path")
    import jax2onnx
    import onnx

    predictor = _plain(predictor)
    config = predictor.config.model
    specifications = _specifications(config)
    function = _function(predictor, specifications)
    with _quiet():
        model = jax2onnx.to_onnx(
            function,
            specifications,
            model_name="lddu",
            input_names=[f"{kind}/{name}" for kind in _INPUTS for name in config.modality_names],
            output_names=sorted(jax.eval_shape(function, *specifications)),  # JAX sorts
        )
    info = exporting._info(predictor, ())
    del info["platforms"]
    onnx.helper.set_model_props(model, {"lddu": json.dumps(info)})
    content = model.SerializeToString()
    _compare(content, predictor)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved, so that a killed export leaves no half file at `path`.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".exporting-") as folder:
        partial = Path(folder) / "model"
        partial.write_bytes(content)
        partial.rename(path)
    return path


def inputs(batch: Batch) -> dict[str, np.ndarray]:
    """The arrays of a batch under their names in the file: what `InferenceSession.run` takes."""
    named = {f"values/{n}": np.asarray(m.values, np.float32) for n, m in batch.modalities.items()}
    named |= {f"mask/{n}": np.asarray(m.mask) for n, m in batch.modalities.items()}
    return named | {f"present/{n}": np.asarray(batch.present[n]) for n in batch.modalities}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the hundreds of warnings about inner shapes that say nothing to the user."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _plain(predictor: Predictor) -> Predictor:
    """The same model without what concerns devices and training alone."""
    plain = {"attention": "full", "dtype": "float32", "row_block": 0}
    changes = {f"model.encoder.{name}": value for name, value in plain.items()}
    return dataclasses.replace(predictor, config=replace(predictor.config, changes))


def _function(
    predictor: Predictor, specifications: Sequence[jax.ShapeDtypeStruct]
) -> Callable[..., dict[str, jax.Array]]:
    """As `lddu.export` has it, in operations that jax2onnx knows, of arrays one by one."""
    config = predictor.config.model
    model, names = LDDU(config), config.modality_names
    thresholds = exporting._thresholds(predictor)
    size = len(names)

    def prepared(arrays: Sequence[jax.Array]) -> Batch:
        values, mask, present = (
            dict(zip(names, arrays[i : i + size], strict=True)) for i in (0, size, 2 * size)
        )
        return Batch({name: Modality(values[name], mask[name]) for name in names}, present)

    def member(params: Any, *arrays: jax.Array) -> Prediction:
        batch = normalize(prepared(arrays), predictor.normalizer)
        return model.apply({"params": params}, batch)

    params = jax.tree.map(jnp.asarray, predictor.params)
    # All members at once, because jax2onnx gives an invalid loop for the lax.map of `forward`.
    together = jax.vmap(member, in_axes=(0, *[None] * len(specifications)))
    program, shapes = jax.make_jaxpr(together, return_shape=True)(params, *specifications)
    leaves, structure = jax.tree.leaves(params), jax.tree.structure(shapes)

    def run(*arrays: jax.Array) -> dict[str, jax.Array]:
        seen = prepared(arrays).observed(names).any(-1)
        found = _evaluate(program.jaxpr, program.consts, *leaves, *arrays)
        members = jax.tree.unflatten(structure, found)
        rest = inference._ensemble(members)
        # The calibrator is applied here, not there, for what `_calibrated` says.
        mean = inference.combine_members(members.logits, Identity(), seen)["logits"]
        each = _calibrated(predictor.calibrator, members.logits, seen)
        parts = inference.combine_members(each, Identity(), seen)
        probs = jax.nn.sigmoid(_calibrated(predictor.calibrator, mean, seen))
        outputs = {name: parts[name] for name in ("aleatoric", "epistemic")}
        outputs |= {"probs": probs, "decisions": probs >= thresholds}
        optional = {name: getattr(rest, name) for name in exporting._OPTIONAL}
        return outputs | {name: x for name, x in optional.items() if x is not None}

    return run


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """Evaluates a program operation by operation, inner functions too.

    So jax2onnx sees only operations of `jax.lax`: those of Flax it would replace by its own, which
    fail under `vmap`. Padding is done in another way, because it fails at that of an open size.
    """
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def value(x: Any) -> Any:
        return x.val if isinstance(x, Literal) else known[x]

    for step in jaxpr.eqns:
        given, options = [value(x) for x in step.invars], step.params
        inner = options.get("jaxpr", options.get("call_jaxpr"))
        if isinstance(inner, ClosedJaxpr):
            results = _evaluate(inner.jaxpr, inner.consts, *given)
        elif step.primitive is jax.lax.pad_p:
            results = [_padded(*given, options["padding_config"])]
        else:
            results = step.primitive.bind(*given, **options)
            results = results if step.primitive.multiple_results else [results]
        known.update(zip(step.outvars, results, strict=True))
    return [value(x) for x in jaxpr.outvars]


def _padded(x: jax.Array, value: jax.Array, config: Sequence[tuple[int, int, int]]) -> jax.Array:
    """`jax.lax.pad`, as far as the model uses it: at the ends of axes."""
    for axis, (_, more, _) in enumerate(config):
        if more:
            shape = (*x.shape[:axis], more, *x.shape[axis + 1 :])
            x = jax.lax.concatenate([x, jax.lax.broadcast(value, shape)], axis)
    return x


def _calibrated(calibrator: Calibrator, logits: jax.Array, seen: jax.Array) -> jax.Array:
    if isinstance(calibrator, Isotonic):  # label by label: jax2onnx has no jnp.interp under vmap
        maps = zip(*(jnp.asarray(x).T for x in calibrator), strict=True)
        columns = [jnp.interp(logits[..., c], *knots) for c, knots in enumerate(maps)]
        calibrated = jnp.stack(columns, -1)
    else:
        calibrated = apply(calibrator, logits)
    return jnp.where(seen[:, None], calibrated, logits)


class _Scope(jax.export.SymbolicScope):
    """One that jax2onnx, which copies the operations it converts, does not copy with them."""

    def __deepcopy__(self, memo: dict) -> "_Scope":
        return self


def _specifications(config: ModelConfig) -> list[jax.ShapeDtypeStruct]:
    """Shapes and types of all values, masks and presences, with open sizes."""
    steps = [f"time_{i}" for i in range(len(config.modalities))]
    limits = [f"{t} <= {m.length}" for t, m in zip(steps, config.modalities, strict=True)]
    batch, *times = jax.export.symbolic_shape(", ".join(["batch", *steps]), scope=_Scope(limits))
    sized = [
        (m, m.length if m.stride > 1 else t) for m, t in zip(config.modalities, times, strict=True)
    ]
    return [
        *(jax.ShapeDtypeStruct((batch, t, m.features), jnp.float32) for m, t in sized),
        *(jax.ShapeDtypeStruct((batch, t), jnp.bool_) for _, t in sized),
        *(jax.ShapeDtypeStruct((batch,), jnp.bool_) for _ in sized),
    ]


def _random_batch(predictor: Predictor) -> Batch:
    """Rows of normal features like those of training, ragged and with modalities missing."""
    rng, rows = np.random.default_rng(0), 8
    modalities = {}
    for m in predictor.config.model.modalities:
        mean, std = (x[m.name] for x in predictor.normalizer)
        values = (mean + std * rng.normal(size=(rows, m.length, m.features))).astype(np.float32)
        mask = np.arange(m.length) < rng.integers(1, m.length + 1, rows)[:, None]
        modalities[m.name] = Modality(values, mask)
    return Batch(modalities, {name: rng.random(rows) < 0.8 for name in modalities})


def _compare(content: bytes, predictor: Predictor) -> None:
    """Raises a RuntimeError where a converted model does not predict as the predictor."""
    import onnxruntime

    batch = _random_batch(predictor)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    fields = ("probs", "aleatoric", "epistemic")
    found = session.run(fields, inputs(batch))
    wanted = predictor.predict(batch, batch_size=batch.size, fields=fields)
    for name, got in zip(fields, found, strict=True):
        # Not all: next to a steep step of an isotonic map, rounding may make a difference.
        off = np.mean(~(np.abs(got - getattr(wanted, name)) <= _TOLERANCE))
        if off > 0.1:
            raise RuntimeError(
                f"jax2onnx converted the model wrongly: {off:.0%} of {name} differ by more than "
                f"{_TOLERANCE}; use lddu.export, or another version of jax2onnx"
            )
