"""The one check that all configuration dataclasses use."""


def require(ok: bool, message: str) -> None:
    """Raises ValueError with the message unless `ok`."""
    if not ok:
        raise ValueError(message)
