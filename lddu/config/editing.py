"""Changed copies of a configuration, from code and from a command line."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from lddu.config.schema import Config


def replace(config: Config, changes: Mapping[str, Any]) -> Config:
    """Returns a copy of a configuration with some fields changed.

    The changes are made together, so that only the result must be valid.

    Args:
      config: The configuration to start from.
      changes: Path of a field, with dots between groups -> its new value.

    Returns:
      The new configuration.

    Raises:
      ValueError: If a path names no field, or the new value is not allowed.

    Example:
      >>> from lddu import config
      >>> cfg = config.tiny({"text": (300, 60)}, ["happy", "sad"])
      >>> config.replace(cfg, {"train.epochs": 7, "model.encoder.layers": 2}).train.epochs
      7
    """
    return _replace(config, changes, "")


def _replace(node: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    fields = [f.name for f in dataclasses.fields(node)] if dataclasses.is_dataclass(node) else []
    new, inner = {}, {}
    for path, value in changes.items():
        name, dot, rest = path.partition(".")
        if name not in fields:
            raise ValueError(
                f"no field {prefix + path!r}: {type(node).__name__} has {', '.join(fields)}"
            )
        if dot:
            inner.setdefault(name, {})[rest] = value
        else:
            new[name] = value
    for name, below in inner.items():
        new[name] = _replace(new.get(name, getattr(node, name)), below, f"{prefix}{name}.")
    return dataclasses.replace(node, **new)


def parse_all(changes: Iterable[str]) -> dict[str, Any]:
    """Reads changes as typed on a command line; of one path, the last counts.

    Args:
      changes: Texts such as "train.epochs=3", each as `parse` takes it.

    Returns:
      Path -> value, as `replace` takes them.

    Raises:
      ValueError: If one has no "=".
    """
    return dict(parse(change) for change in changes)


def parse(change: str) -> tuple[str, Any]:
    """Reads a change as typed on a command line.

    Args:
      change: Text such as "train.epochs=3" or "loss.similarity=cosine".

    Returns:
      The path and the value (JSON, or text where it is not JSON), as `replace` takes them.

    Raises:
      ValueError: If there is no "=".

    Example:
      >>> parse("train.epochs=3")
      ('train.epochs', 3)
    """
    path, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"{change!r} is not of the form path=value, such as train.epochs=3")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return path.strip(), tuple(value) if isinstance(value, list) else value
