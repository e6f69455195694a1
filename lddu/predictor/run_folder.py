"""The folder of a run: which configuration and data it belongs to, and how it was computed."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypedDict

import jax

from lddu.config import Config, ExecutionConfig
from lddu.data.batching import fingerprint
from lddu.files import damage_named, read_json, write_text
from lddu.structs import Batch

_RESULT = ("dtype",)  # execution settings that change results by more than rounding


class _Entry(TypedDict):
    """A way in which a run has been computed."""

    settings: dict[str, Any]
    used: dict[str, Any]


def claim(folder: Path, config: Config, train: Batch, valid: Batch) -> Path:
    """Creates the run folder, or checks that it belongs to this configuration and data.

    `config.json` holds the configuration, `data.json` fingerprints of the data, and
    `execution.json` one entry for each way in which the run has been computed so far.

    Args:
      folder: The run folder.
      config: The configuration of the run. Execution settings may differ from those of the run so
        far, except `execution.dtype`.
      train: Training rows.
      valid: Validation rows.

    Returns:
      The folder.

    Raises:
      ValueError: If the folder holds a run of another configuration, on other data, or in another
        number type, and names the settings that differ; or if a file of it is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    if path.exists():
        with damage_named(path):
            before = Config.from_json(path.read_bytes())
        check_same(path, before, config)
    else:
        write_text(path, config.to_json())
    data = {"train": fingerprint(train), "valid": fingerprint(valid)}
    path = folder / "data.json"
    if not path.exists():
        write_text(path, json.dumps(data))
    elif read_json(path, dict[str, str]) != data:
        raise ValueError(
            f"{folder} holds a run on other data (see {path}); choose another folder or delete it"
        )
    return folder


def check_same(path: Path, before: Config, config: Config) -> None:
    """Raises ValueError unless a run can go on under a configuration, naming what differs.

    Args:
      path: The file in the run folder that holds the configuration of the run.
      before: That configuration.
      config: The other one; of its execution settings only `execution.dtype` must be the same.
    """
    ignored = {"execution": ExecutionConfig()}
    changed = _differences(
        dataclasses.asdict(dataclasses.replace(before, **ignored)),
        dataclasses.asdict(dataclasses.replace(config, **ignored)),
    )
    changed += [
        f"execution.{name} was {old!r}, is {new!r}"
        for name in _RESULT
        if (old := getattr(before.execution, name)) != (new := getattr(config.execution, name))
    ]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run of another configuration: {'; '.join(changed)}. Set them "
            f"back (see {path}), choose another folder, or delete it"
        )


def note_execution(folder: Path, config: Config, used: dict[str, Any]) -> None:
    """Notes in `execution.json` how a run is computed, if it was not computed so before.

    Args:
      folder: The run folder.
      config: The configuration of the run.
      used: What the settings came to on this machine, such as the number of devices.

    Raises:
      ValueError: If the file is damaged.
    """
    path = folder / "execution.json"
    entries = read_json(path, list[_Entry]) if path.exists() else []
    entry = {
        "settings": dataclasses.asdict(config.execution),
        "used": {**used, "platform": jax.default_backend(), "jax": jax.__version__},
    }
    if jax.process_index() == 0 and entry not in entries:
        write_text(path, json.dumps([*entries, entry], indent=2))


def _differences(before: Any, now: Any, path: str = "") -> list[str]:
    """Lists the settings that differ between two nested dicts."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = list(dict.fromkeys([*before, *now]))
        return [
            text
            for name in names
            for text in _differences(before.get(name), now.get(name), f"{path}.{name}".lstrip("."))
        ]
    return [] if before == now else [f"{path} was {before!r}, is {now!r}"]
