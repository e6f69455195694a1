"""A trained `Predictor` as an ONNX file, for runtimes that have no JAX.

    lddu.export.onnx.export_onnx(predictor, "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx")
    (probs,) = session.run(["probs"], {"values/text": ..., "mask/text": ..., "present/text": ...})

Needs `pip install 'lddu[onnx]'` to write and onnxruntime or the like to run. Where JAX can run,
`lddu.export` is the better choice: it exports the very program that `predict` runs, and faster.
"""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from lddu.calibration import Calibrator, Isotonic, apply
from lddu.config import ModelConfig, replace
from lddu.data.normalize import normalize
from lddu.export import program
from lddu.files import atomic_path
from lddu.model import LDDU
from lddu.predictor import Predictor
from lddu.predictor.network import Outputs, ensemble
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
      logit_var and logit_disagreement (B, C), weights (B, C, M): float32, with the fusions
        precision and equal.

    The metadata entry "lddu" is JSON: names of labels and modalities in order, thresholds. The file
    does not check its input: real steps must be finite, and T must not exceed the length. It
    computes in float32 and stores the full attention weights, whatever `execution.dtype` and
    `execution.attention` are.

    Before the file is written, its predictions are compared with those of `predict` (in float32)
    on random rows by onnxruntime. The time of the conversion grows with the number of modalities
    and layers, not with the number of members.

    Args:
      predictor: A trained predictor.
      path: The file to write; it must not exist, its folder is created. At most 2 GB, the limit of
        a single ONNX file.

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
    onnx.helper.set_model_props(model, {"lddu": json.dumps(program.describe(predictor))})
    content = model.SerializeToString()
    _compare(content, predictor)
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    return path


def inputs(batch: Batch) -> dict[str, np.ndarray]:
    """Returns the arrays of a batch under their names in the file, for `InferenceSession.run`."""
    named = {f"values/{n}": np.asarray(m.values, np.float32) for n, m in batch.modalities.items()}
    named |= {f"mask/{n}": np.asarray(m.mask) for n, m in batch.modalities.items()}
    return named | {f"present/{n}": np.asarray(batch.present[n]) for n in batch.modalities}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences hundreds of warnings about inner shapes."""
    logger = logging.getLogger("onnx_ir")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _plain(predictor: Predictor) -> Predictor:
    """Returns the same predictor with the plain kernels, in float32."""
    plain = {"execution.attention": "full", "execution.dtype": "float32", "execution.row_block": 0}
    return dataclasses.replace(predictor, config=replace(predictor.config, plain))


def _function(
    predictor: Predictor, specifications: Sequence[jax.ShapeDtypeStruct]
) -> Callable[..., dict[str, jax.Array]]:
    """Returns the prediction as a function of single arrays, in operations jax2onnx converts."""
    network = predictor.network
    model, names = LDDU(network.config, network.execution), network.config.modality_names
    size = len(names)

    def batch_of(arrays: Sequence[jax.Array]) -> Batch:
        values, mask, present = (
            dict(zip(names, arrays[i : i + size], strict=True)) for i in (0, size, 2 * size)
        )
        return Batch({name: Modality(values[name], mask[name]) for name in names}, present)

    def member(params: Any, *arrays: jax.Array) -> Prediction:
        batch = normalize(batch_of(arrays), network.normalizer)
        return model.apply({"params": params}, batch)

    params = jax.tree.map(jnp.asarray, network.params)
    # All members at once, because jax2onnx converts the loop of `lax.map` wrongly.
    together = jax.vmap(member, in_axes=(0, *[None] * len(specifications)))
    traced, shapes = jax.make_jaxpr(together, return_shape=True)(params, *specifications)
    leaves, structure = jax.tree.leaves(params), jax.tree.structure(shapes)

    def run(*arrays: jax.Array) -> dict[str, jax.Array]:
        seen = batch_of(arrays).observed(names).any(-1)
        results = _evaluate(traced.jaxpr, traced.consts, *leaves, *arrays)
        members = jax.tree.unflatten(structure, results)
        members = Outputs(members.logits, ensemble(members))
        return program.outputs(predictor, members, seen, _map(predictor.calibrator))

    return run


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """Evaluates a program operation by operation, including inner functions.

    jax2onnx then sees only operations of `jax.lax`: it would replace those of Flax by its own,
    which fail under `vmap`. Padding of open sizes, which it does not convert, is done differently.
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
    """Computes `jax.lax.pad` as far as the model uses it: at the ends of axes."""
    for axis, (_, more, _) in enumerate(config):
        if more:
            shape = (*x.shape[:axis], more, *x.shape[axis + 1 :])
            x = jax.lax.concatenate([x, jax.lax.broadcast(value, shape)], axis)
    return x


def _map(calibrator: Calibrator) -> Callable[[jax.Array], jax.Array]:
    """Returns the calibrator's map in operations that jax2onnx converts."""
    if not isinstance(calibrator, Isotonic):
        return lambda logits: apply(calibrator, logits)
    # Label by label: jax2onnx does not convert `jnp.interp` under `vmap`.
    maps = list(zip(*(jnp.asarray(x).T for x in calibrator), strict=True))

    def interpolated(logits: jax.Array) -> jax.Array:
        columns = [jnp.interp(logits[..., c], *knots) for c, knots in enumerate(maps)]
        return jnp.stack(columns, -1)

    return interpolated


class _Scope(jax.export.SymbolicScope):
    """A scope that jax2onnx, which copies the operations it converts, does not copy with them."""

    def __deepcopy__(self, memo: dict) -> "_Scope":
        return self


def _specifications(config: ModelConfig) -> list[jax.ShapeDtypeStruct]:
    """Returns the shapes and types of all values, masks and presences, with open sizes."""
    batch, times = program.open_sizes(config, _Scope(program.limits(config)))
    sized = [
        (m, m.length if m.stride > 1 else t) for m, t in zip(config.modalities, times, strict=True)
    ]
    return [
        *(program.array((batch, t, m.features)) for m, t in sized),
        *(program.array((batch, t), bool) for _, t in sized),
        *(program.array((batch,), bool) for _ in sized),
    ]


def _random_batch(predictor: Predictor) -> Batch:
    """Draws normal features like those of training, ragged and with modalities missing."""
    rng, rows = np.random.default_rng(0), 8
    modalities = {}
    for m in predictor.config.model.modalities:
        mean, std = (x[m.name] for x in predictor.normalizer)
        values = (mean + std * rng.normal(size=(rows, m.length, m.features))).astype(np.float32)
        mask = np.arange(m.length) < rng.integers(1, m.length + 1, rows)[:, None]
        modalities[m.name] = Modality(values, mask)
    return Batch(modalities, {name: rng.random(rows) < 0.8 for name in modalities})


def _compare(content: bytes, predictor: Predictor) -> None:
    """Raises RuntimeError unless the converted model predicts as the predictor does."""
    import onnxruntime

    batch = _random_batch(predictor)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    fields = ("probs", "aleatoric", "epistemic")
    found = session.run(fields, inputs(batch))
    wanted = predictor.predict(batch, batch_size=batch.size, fields=fields)
    for name, got in zip(fields, found, strict=True):
        # A share, because a steep calibrator magnifies rounding.
        off = np.mean(~(np.abs(got - getattr(wanted, name)) <= _TOLERANCE))
        if off > 0.1:
            raise RuntimeError(
                f"jax2onnx converted the model wrongly: {off:.0%} of {name} differ by more than "
                f"{_TOLERANCE}; use lddu.export, or another version of jax2onnx"
            )
