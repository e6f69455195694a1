"""Checks that all configuration dataclasses share."""

import dataclasses
from typing import Any, Literal, get_args, get_origin


def require(ok: bool, message: str) -> None:
    """Raises ValueError with the message unless `ok`."""
    if not ok:
        raise ValueError(message)


def require_choices(config: Any, group: str) -> None:
    """Raises ValueError if a field annotated as a `Literal` holds another value.

    Args:
      config: The dataclass instance to check.
      group: Name of the group of settings, for the message.
    """
    for field in dataclasses.fields(config):
        if get_origin(field.type) is Literal:
            value, choices = getattr(config, field.name), get_args(field.type)
            require(
                value in choices,
                f"{group}: {field.name}={value!r}; choose from {', '.join(map(repr, choices))}",
            )
