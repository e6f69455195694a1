"""Conversion of the official LDDU's weights (PyTorch) to this library's parameters, and back.

Official names are those of github.com/201983290498/lddu_mmer at commit ae79204. A linear weight is
(out, in) there and (in, out) here; attention projections here keep their heads apart.
"""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from einops import rearrange
from flax.traverse_util import flatten_dict, unflatten_dict

from lddu.config import Config
from lddu.model import LDDU, example_batch

Path = tuple[str, ...]

# Modality -> the official names of its encoder and input norm, and its index in module lists.
_STREAMS = {
    "vision": ("visual", "visual_norm.visual_norm2d", 0),
    "audio": ("audio", "audio_norm.audio_norm2d", 1),
    "text": ("bert", "text_norm.text_norm2d", 2),
}


class Converted(NamedTuple):
    """Converted weights.

    Attributes:
      params: Parameters for `LDDU(config.model).apply({"params": params}, batch)`.
      unused: Official names without a counterpart: poolers and heads that the official code never
        calls, for example.
    """

    params: dict[str, Any]
    unused: tuple[str, ...]


class _Rule(NamedTuple):
    """The conversion of one parameter.

    Attributes:
      ours: Path of the parameter in this library.
      official: Names of the official arrays; several, one per label, are stacked.
      transform: Maps an official array to the parameter, or to one slice of the stack.
      inverse: Maps it back.
    """

    ours: Path
    official: tuple[str, ...]
    transform: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]


def from_official(
    source: Mapping[str, np.ndarray] | str | os.PathLike, config: Config
) -> Converted:
    """Converts official weights to parameters of this library.

    Args:
      source: State dict (name -> array), or the path of a `.bin` or `.pt` file with one; the file
        is read without PyTorch, and no code in it is executed. A prefix "module." that all names
        share is dropped.
      config: Preset `paper` with the sizes of the official model.

    Returns:
      The parameters, in the number type of the weights, and the names that were not used.

    Raises:
      ValueError: If the configuration is not of the official model's form, if the file holds
        anything but a state dict, or if arrays are missing or misshapen; names all of those.
    """
    if not isinstance(source, Mapping):
        from lddu.data.formats import load_torch

        source = load_torch(source)
        if not isinstance(source, Mapping):
            raise ValueError(
                "expected a state dict (name -> array) in the file, got "
                f"{type(source).__name__}; save model.state_dict()"
            )
    state = dict(source)
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): array for name, array in state.items()}
    shapes = _shapes(config)
    problems, params, used = [], {}, set()
    for rule in _rules(config):
        used.update(rule.official)
        absent = [name for name in rule.official if name not in state]
        if absent:
            problems += [f"{name} is missing" for name in absent]
            continue
        expected = rule.inverse(np.zeros(_slice_shape(rule, shapes[rule.ours]))).shape
        arrays = [np.asarray(state[name]) for name in rule.official]
        wrong = [
            f"{name} has shape {array.shape}, expected {expected}"
            for name, array in zip(rule.official, arrays, strict=True)
            if array.shape != expected
        ]
        if wrong:
            problems += wrong
            continue
        parts = [rule.transform(array) for array in arrays]
        params[rule.ours] = np.stack(parts) if _is_stacked(rule) else parts[0]
    if problems:
        raise ValueError("official weights do not fit the configuration: " + "; ".join(problems))
    return Converted(unflatten_dict(params), tuple(sorted(set(state) - used)))


def to_official(params: Mapping[str, Any], config: Config) -> dict[str, np.ndarray]:
    """Converts parameters of this library to official weights: the inverse of `from_official`.

    Args:
      params: Parameters of `LDDU(config.model)`.
      config: Preset `paper` with the sizes of the parameters.

    Returns:
      State dict under the official names, equal bit for bit.

    Raises:
      ValueError: If the configuration is not of the official model's form.
    """
    flat = flatten_dict(params)
    state = {}
    for rule in _rules(config):
        array = np.asarray(flat[rule.ours])
        parts = list(array) if _is_stacked(rule) else [array]
        for name, part in zip(rule.official, parts, strict=True):
            state[name] = rule.inverse(part)
    return state


def _is_stacked(rule: _Rule) -> bool:
    return rule.ours[:2] in (("fusion", "mean"), ("fusion", "deviation"))


def _slice_shape(rule: _Rule, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if _is_stacked(rule) else shape


@functools.lru_cache(maxsize=8)
def _shapes(config: Config) -> dict[Path, tuple[int, ...]]:
    """Returns the shape of every parameter of the configured model."""
    tree = jax.eval_shape(
        lambda: LDDU(config.model).init(jax.random.key(0), example_batch(config.model))
    )
    return {path: leaf.shape for path, leaf in flatten_dict(tree["params"]).items()}


def _rules(config: Config) -> Iterator[_Rule]:
    model = config.model
    # In another order the shapes would fit, too, but heads would read the wrong modalities.
    ordered = list(model.modality_names) == [n for n in _STREAMS if n in model.modality_names]
    if model.fusion != "gate" or model.statistics or len(model.latent_hidden) != 3 or not ordered:
        raise ValueError(
            "only the official model's form converts: preset `paper` with modalities among "
            f"{list(_STREAMS)}, in this order; got fusion={model.fusion!r}, statistics="
            f"{model.statistics}, latent_hidden={model.latent_hidden}, modalities="
            f"{list(model.modality_names)}"
        )
    yield _same(("label_embeddings",), "embedding_layer.weight")
    for name in model.modality_names:
        yield from _stream(name, *_STREAMS[name], config)
    yield from _head("direct", ("common_classfier",))
    count = range(len(model.labels))
    yield from _head("mean", tuple(f"final_classifier.{c}" for c in count))
    yield from _head("deviation", tuple(f"var_classifier1.{c}" for c in count))


def _stream(name: str, encoder: str, norm: str, number: int, config: Config) -> Iterator[_Rule]:
    ours = f"encoder_{name}"
    yield from _norm((ours, "input_norm"), norm)
    yield from _dense((ours, "project"), f"{encoder}.embeddings.word_embeddings")
    yield _same((ours, "positions"), f"{encoder}.embeddings.position_embeddings.weight")
    yield from _norm((ours, "norm"), f"{encoder}.embeddings.LayerNorm")
    for i in range(config.model.encoder.layers):
        yield from _layer(
            (ours, "transformer", f"layer_{i}"), f"{encoder}.encoder.layer.{i}", config
        )
    attention = f"label_attention_{name}"
    for part, official in (
        ("query", "label_projection"),
        ("memory", "seq_projection"),
        ("out", "out_projection"),
    ):
        yield from _dense((attention, part), f"label_wise_attention.{official}.{number}")
    for part, official in (
        ("hidden_0", "linear.0"),
        ("hidden_1", "linear.1"),
        ("hidden_2", "output"),
        ("mean", "fc_mu"),
        ("variance", "fc_var"),
    ):
        yield from _dense((f"latent_{name}", part), f"encoder.{number}.{official}")


def _layer(ours: Path, official: str, config: Config) -> Iterator[_Rule]:
    heads = config.model.encoder.heads
    for part in ("query", "key", "value"):
        name = f"{official}.attention.self.{part}"
        yield _Rule(
            (*ours, part, "kernel"),
            (f"{name}.weight",),
            lambda w: rearrange(w, "(h k) d -> d h k", h=heads),
            lambda w: rearrange(w, "d h k -> (h k) d"),
        )
        yield _Rule(
            (*ours, part, "bias"),
            (f"{name}.bias",),
            lambda b: rearrange(b, "(h k) -> h k", h=heads),
            lambda b: rearrange(b, "h k -> (h k)"),
        )
    yield _Rule(
        (*ours, "attention_out", "kernel"),
        (f"{official}.attention.output.dense.weight",),
        lambda w: rearrange(w, "d (h k) -> h k d", h=heads),
        lambda w: rearrange(w, "h k d -> d (h k)"),
    )
    yield _same((*ours, "attention_out", "bias"), f"{official}.attention.output.dense.bias")
    yield from _norm((*ours, "attention_norm"), f"{official}.attention.output.LayerNorm")
    yield from _dense((*ours, "feed_forward_in"), f"{official}.intermediate.dense")
    yield from _dense((*ours, "feed_forward_out"), f"{official}.output.dense")
    yield from _norm((*ours, "feed_forward_norm"), f"{official}.output.LayerNorm")


def _head(name: str, official: tuple[str, ...]) -> Iterator[_Rule]:
    for part, number in (("hidden", 0), ("out", 3)):
        for leaf, kind in (("kernel", "weight"), ("bias", "bias")):
            names = tuple(f"{prefix}.{number}.{kind}" for prefix in official)
            yield _Rule(("fusion", name, part, leaf), names, np.transpose, np.transpose)


def _dense(ours: Path, official: str) -> Iterator[_Rule]:
    yield _Rule((*ours, "kernel"), (f"{official}.weight",), np.transpose, np.transpose)
    yield _same((*ours, "bias"), f"{official}.bias")


def _norm(ours: Path, official: str) -> Iterator[_Rule]:
    yield _same((*ours, "scale"), f"{official}.weight")
    yield _same((*ours, "bias"), f"{official}.bias")


def _same(ours: Path, official: str) -> _Rule:
    return _Rule(ours, (official,), np.asarray, np.asarray)
