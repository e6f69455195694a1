"""The folder that `Predictor.save` writes: parameters, `config.json` and `predictor.json`.

Format 2 holds any calibrator, by the name of its type. Format 1, which knew temperatures only, is
still read.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lddu.calibration import Calibrator, Choice, Temperature, apply
from lddu.calibration.calibrators import APPLY
from lddu.calibration.choice import Score
from lddu.config import Config
from lddu.data.normalize import Normalizer
from lddu.model import LDDU, example_batch

_FORMAT = 2
_TYPES = {kind.__name__: kind for kind in APPLY}


def save(path: str | os.PathLike, fields: Mapping[str, Any]) -> Path:
    """Writes the fields of a `Predictor`.

    Args:
      path: A new folder, or one that holds a predictor, which is replaced.
      fields: Name -> value of each.

    Returns:
      The absolute path.

    Raises:
      FileExistsError: If `path` exists and is not a saved predictor.
    """
    from orbax.checkpoint import v1 as ocp  # here: `import lddu` stays free of orbax

    path = Path(path).absolute()
    if path.exists() and not (path / "predictor.json").exists():
        raise FileExistsError(f"{path} exists and holds no saved predictor; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved, so that a killed save leaves no half predictor at `path`.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        partial = Path(folder) / "predictor"
        partial.mkdir()
        ocp.save_pytree(partial / "params", jax.tree.map(jnp.asarray, fields["params"]))
        (partial / "config.json").write_text(fields["config"].to_json())
        (partial / "predictor.json").write_text(json.dumps(_to_json(fields), indent=2))
        if path.exists():
            path.rename(Path(folder) / "old")
        partial.rename(path)
    return path


def load(path: str | os.PathLike) -> dict[str, Any]:
    """The fields of a `Predictor`, from what `save` wrote.

    Raises:
      FileNotFoundError: If `path` holds no saved predictor.
      ValueError: If it was written in another format, or its files do not fit together.
    """
    path = Path(path).absolute()
    if not (path / "predictor.json").exists():
        raise FileNotFoundError(f"{path} holds no saved predictor (no predictor.json)")
    try:
        saved = json.loads((path / "predictor.json").read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path / 'predictor.json'} is damaged: {error}") from error
    if not isinstance(saved, dict):
        raise ValueError(f"{path / 'predictor.json'} is damaged: it holds no JSON object")
    if saved.get("format") not in (1, _FORMAT):
        raise ValueError(f"{path}: format {saved.get('format')!r}, expected 1 or {_FORMAT}")
    config = Config.from_json((path / "config.json").read_text())
    try:
        calibrator, choice = _read_calibrator(saved, len(config.model.labels))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path / 'predictor.json'}: the calibrator {what}") from error
    return {
        "config": config,
        "params": _load_params(path, config, saved["members"]),
        "normalizer": Normalizer(
            {k: np.asarray(v, np.float32) for k, v in saved["mean"].items()},
            {k: np.asarray(v, np.float32) for k, v in saved["std"].items()},
        ),
        "base_rate": np.asarray(saved["base_rate"]),
        "calibrator": calibrator,
        "shared_threshold": np.asarray(saved["shared_threshold"]),
        "label_thresholds": np.asarray(saved["label_thresholds"]),
        "history": tuple(saved["history"]),
        "choice": choice,
    }


def _load_params(path: Path, config: Config, members: int) -> Any:
    from orbax.checkpoint import v1 as ocp

    one = jax.eval_shape(
        lambda: LDDU(config.model).init(jax.random.key(0), example_batch(config.model))["params"]
    )
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((members, *x.shape), x.dtype, sharding=device), one
    )
    try:
        return ocp.load_pytree(path / "params", like)
    except Exception as error:  # orbax and its stores raise many kinds
        raise ValueError(
            f"{path / 'params'} is damaged or does not fit config.json: {error}"
        ) from error


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
    """The calibrator and, where it was chosen, the choice."""
    if saved["format"] == 1:
        values = {name: saved[name] for name in Temperature._fields}
        return _read_state({"type": "Temperature", "state": values}, labels), None
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
