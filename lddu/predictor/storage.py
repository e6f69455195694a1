"""The folder that `Predictor.save` writes: `params.npz`, `config.json` and `predictor.json`."""

import contextlib
import json
import operator
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from lddu.calibration import Calibrator, Choice, apply
from lddu.calibration.calibrators import APPLY
from lddu.calibration.choice import Score
from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.files import atomic_path
from lddu.model import LDDU, example_batch

_FORMAT = 1
_TYPES = {kind.__name__: kind for kind in APPLY}


def save(path: str | os.PathLike, fields: Mapping[str, Any]) -> Path:
    """Writes the fields of a `Predictor`.

    Where several processes run one program, all of them call it, and the first one writes.

    Args:
      path: A new folder, or one that holds a predictor, which is replaced.
      fields: Name -> value of each field.

    Returns:
      The absolute path.

    Raises:
      FileExistsError: If `path` exists and is not a saved predictor.
    """
    path = Path(path).absolute()
    if path.exists() and not (path / "predictor.json").exists():
        raise FileExistsError(f"{path} exists and holds no saved predictor; choose another path")
    if jax.process_index() == 0:
        with atomic_path(path) as partial:
            partial.mkdir()
            params = flatten_dict(fields["params"], sep="/")
            np.savez(partial / "params.npz", **{k: np.asarray(v) for k, v in params.items()})
            (partial / "config.json").write_text(fields["config"].to_json())
            (partial / "predictor.json").write_text(json.dumps(_to_json(fields), indent=2))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"saved {path}")
    return path


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the fields of a `Predictor` that `save` wrote.

    Raises:
      FileNotFoundError: If `path` holds no saved predictor.
      ValueError: If it has another format, or its files are damaged or do not fit together.
    """
    path = Path(path).absolute()
    if not (path / "predictor.json").exists():
        raise FileNotFoundError(f"{path} holds no saved predictor (no predictor.json)")
    file = path / "predictor.json"
    saved = _read_json(file)
    config = Config.from_json((path / "config.json").read_text())
    with _explained(f"{file}: the calibrator"):
        calibrator, choice = _read_calibrator(saved, len(config.model.labels))
    with _explained(f"{file} is damaged: it"):
        statistics = _read_statistics(saved, config)
        members, history = operator.index(saved["members"]), tuple(saved["history"])
    params = _load_params(path / "params.npz", config, members)
    return {
        "config": config,
        "params": params,
        "calibrator": calibrator,
        "choice": choice,
        "history": history,
        **statistics,
    }


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raises ValueError in place of the errors of values that do not fit; says what is wrong."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{what} {why}") from error


def _read_json(file: Path) -> dict[str, Any]:
    try:
        saved = json.loads(file.read_text())
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(f"{file} is damaged: {error}") from error
    if not isinstance(saved, dict):
        raise ValueError(f"{file} is damaged: it holds no JSON object")
    if saved.get("format") != _FORMAT:
        raise ValueError(f"{file.parent}: format {saved.get('format')!r}, expected {_FORMAT}")
    return saved


def _read_statistics(saved: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Returns what was measured on the data: normalisation, base rate and thresholds."""
    sizes = {m.name: m.features for m in config.model.modalities}
    labels = (len(config.model.labels),)

    def numbers(name: str, values: Any, shape: tuple[int, ...], dtype: Any = float) -> np.ndarray:
        array = np.asarray(values, dtype)
        if array.shape != shape:
            raise ValueError(f"has a {name} of shape {array.shape}, expected {shape}")
        return array

    normalizer = Normalizer(
        *(
            {
                k: numbers(f"{name} of {k!r}", saved[name][k], (d,), np.float32)
                for k, d in sizes.items()
            }
            for name in ("mean", "std")
        )
    )
    return {
        "normalizer": normalizer,
        "base_rate": numbers("base_rate", saved["base_rate"], labels),
        "shared_threshold": numbers("shared_threshold", saved["shared_threshold"], ()),
        "label_thresholds": numbers("label_thresholds", saved["label_thresholds"], labels),
    }


def _load_params(path: Path, config: Config, members: int) -> Any:
    try:
        with np.load(path, allow_pickle=False) as file:
            params = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile and NumPy raise many kinds
        raise ValueError(f"{path} is damaged: {error}") from error
    variables = jax.eval_shape(
        LDDU(config.model).init, jax.random.key(0), example_batch(config.model)
    )
    expected = flatten_dict(variables["params"], sep="/")
    for name, like in expected.items():
        found = params.get(name)
        shape = (members, *like.shape)
        if found is None or found.shape != shape or found.dtype != like.dtype:
            what = "is missing" if found is None else f"is {found.dtype} {found.shape}"
            raise ValueError(
                f"{path} does not fit config.json: {name} {what}, expected {like.dtype} {shape}"
            )
    if more := sorted(params.keys() - expected.keys()):
        raise ValueError(f"{path} does not fit config.json, which has no {', '.join(more)}")
    return unflatten_dict({name: jnp.asarray(params[name]) for name in expected}, sep="/")


def _to_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    config, normalizer, choice = fields["config"], fields["normalizer"], fields["choice"]
    return {
        "format": _FORMAT,
        "labels": list(config.model.labels),
        "members": int(jax.tree.leaves(fields["params"])[0].shape[0]),
        "mean": {k: np.asarray(v).tolist() for k, v in normalizer.mean.items()},
        "std": {k: np.asarray(v).tolist() for k, v in normalizer.std.items()},
        "base_rate": np.asarray(fields["base_rate"]).tolist(),
        "calibrator": _write_state(fields["calibrator"]),
        "choice": None
        if choice is None
        else {"name": choice.name, "scores": [score._asdict() for score in choice.scores]},
        "shared_threshold": float(fields["shared_threshold"]),
        "label_thresholds": np.asarray(fields["label_thresholds"]).tolist(),
        "history": list(fields["history"]),
    }


def _write_state(state: Calibrator) -> dict[str, Any]:
    if type(state) not in APPLY:
        raise ValueError(
            f"calibrator is a {type(state).__name__}, must be one of {', '.join(_TYPES)}"
        )
    values = {name: np.asarray(x).tolist() for name, x in state._asdict().items()}
    return {"type": type(state).__name__, "state": values}


def _read_calibrator(saved: Mapping[str, Any], labels: int) -> tuple[Calibrator, Choice | None]:
    """Returns the calibrator and, where it was chosen, the choice."""
    state = _read_state(saved["calibrator"], labels)
    choice = saved["choice"]
    if choice is not None:
        scores = tuple(Score(**score) for score in choice["scores"])
        choice = Choice(choice["name"], state, scores)
    return state, choice


def _read_state(saved: Mapping[str, Any], labels: int) -> Calibrator:
    kind = _TYPES.get(saved["type"])
    if kind is None:
        raise ValueError(f"is of unknown type {saved['type']!r}; known are {', '.join(_TYPES)}")
    values = saved["state"]
    if set(values) != set(kind._fields):
        raise ValueError(f"holds {sorted(values)}; a {kind.__name__} has {sorted(kind._fields)}")
    state = kind(**{name: jnp.asarray(x, float) for name, x in values.items()})
    for name, x in state._asdict().items():
        if not np.isfinite(x).all():
            raise ValueError(f"has a {name} that is not finite")
        if x.ndim and x.shape[-1] != labels:
            raise ValueError(f"has a {name} of shape {x.shape}, but there are {labels} labels")
    rows = jax.ShapeDtypeStruct((1, labels), jnp.asarray(0.0).dtype)
    if jax.eval_shape(apply, state, rows).shape != rows.shape:
        raise ValueError(f"is a {kind.__name__} that does not fit {labels} labels")
    return state
