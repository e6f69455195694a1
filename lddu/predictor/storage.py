"""The folder that `Predictor.save` writes: `params.npz`, `config.json` and `predictor.json`."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import multihost_utils

from lddu.config import Config, ModelConfig
from lddu.files import Spec, atomic_path, damage_named, read_npz
from lddu.model import LDDU, example_batch
from lddu.predictor import description

_PARAMS, _CONFIG, _DESCRIPTION = FILES = ("params.npz", "config.json", "predictor.json")


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
    if path.exists() and not (path / _DESCRIPTION).exists():
        raise FileExistsError(f"{path} exists and holds no saved predictor; choose another path")
    if jax.process_index() == 0:
        with atomic_path(path) as partial:
            partial.mkdir()
            params = flatten_dict(fields["params"], sep="/")
            np.savez(partial / _PARAMS, **{k: np.asarray(v) for k, v in params.items()})
            (partial / _CONFIG).write_text(fields["config"].to_json())
            (partial / _DESCRIPTION).write_text(description.to_json(fields))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"saved {path}")
    return path


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the fields of a `Predictor` that `save` wrote.

    Raises:
      FileNotFoundError: If `path` lacks one of the files.
      ValueError: If it has another format, or its files are damaged or do not fit together; names
        the file and the field.
    """
    path = Path(path).absolute()
    for name in FILES:
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path} holds no saved predictor (no {name})")
    with damage_named(path / _CONFIG):
        config = Config.from_json((path / _CONFIG).read_bytes())
    fields, members = description.read(path / _DESCRIPTION, config)
    return {"config": config, "params": _read_params(path, config.model, members), **fields}


def _read_params(path: Path, config: ModelConfig, members: int) -> Any:
    expected: dict[str, Spec] = {}

    def check(found: Mapping[str, Spec]) -> None:
        # Before the model is laid out, which takes the longer the deeper it is.
        layers = config.encoder.layers * len(config.modalities) + len(config.latent_hidden)
        if layers > len(found):
            raise ValueError(f"{_CONFIG} has {layers} layers, but it holds {len(found)} arrays")
        expected.update(_shapes(config, members))
        for name, spec in expected.items():
            if found.get(name) != spec:
                what = f"is {found[name]}" if name in found else "is missing"
                raise ValueError(f"{name} {what}, but {_CONFIG} needs {spec}")
        if more := sorted(found.keys() - expected.keys()):
            raise ValueError(f"{_CONFIG} has no {', '.join(more[:3])}")

    file = path / _PARAMS
    params = read_npz(file, check)
    with damage_named(file):
        for name, array in params.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} is not finite")
    return unflatten_dict({name: jnp.asarray(params[name]) for name in expected}, sep="/")


@functools.lru_cache(maxsize=8)
def _shapes(config: ModelConfig, members: int) -> dict[str, Spec]:
    """Returns shapes and types of the parameters of all members, by their names in the file."""
    try:
        with np.errstate(all="ignore"):
            variables = jax.eval_shape(
                lambda: LDDU(config).init(jax.random.key(0), example_batch(config))
            )
    except Exception as error:  # Flax and JAX raise many kinds
        raise ValueError(f"{_CONFIG} describes no model: {error}") from error
    leaves = flatten_dict(variables["params"], sep="/")
    return {k: Spec((members, *x.shape), np.dtype(x.dtype)) for k, x in leaves.items()}
