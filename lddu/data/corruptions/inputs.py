"""What all corruptions share: strengths, and which steps of a batch may be damaged."""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

from lddu.structs import Batch, Modality

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "feature_noise": (0.1, 0.25, 0.5, 1.0, 2.0),
    "drop_steps": _SHARES,
    "drop_span": _SHARES,
    "drop_modality": _SHARES,
    "swap_modality": (0.1, 0.25, 0.5, 0.75, 1.0),
}


def strength(corruption: str, severity: int) -> float:
    """Returns what a severity means for a corruption.

    Raises:
      ValueError: If the severity is not in 0..5.
    """
    if severity not in range(6):
        raise ValueError(f"severity={severity}; choose one of 1, 2, 3, 4, 5, or 0 for no change")
    return (0.0, *STRENGTHS[corruption])[int(severity)]


def opened(batch: Batch) -> tuple[Batch, dict[str, Modality]]:
    """Returns the batch in NumPy, and a dictionary of its modalities to be changed."""
    batch = jax.tree.map(np.asarray, batch)
    return batch, dict(batch.modalities)


def names(batch: Batch, modalities: Sequence[str] | None) -> list[str]:
    """Returns the named modalities in the order of the batch; all of them for None.

    Raises:
      ValueError: If one is unknown.
    """
    named = [modalities] if isinstance(modalities, str) else modalities
    named = list(batch.modalities if named is None else named)
    for name in named:
        if name not in batch.modalities:
            choices = ", ".join(map(repr, batch.modalities))
            raise ValueError(f"unknown modality {name!r}; choose among {choices}")
    return [name for name in batch.modalities if name in named]


def each(
    key: jax.Array, batch: Batch, modalities: Sequence[str] | None
) -> Iterator[tuple[str, np.random.Generator, Modality, np.ndarray]]:
    """Yields name, random generator, arrays and (B, T) the steps that may be damaged.

    Raises:
      ValueError: If `key` is not a single key or a modality is unknown.
    """
    words = np.asarray(jax.random.key_data(key))
    if words.ndim != 1:
        raise ValueError(f"key has shape {words.shape[:-1]}; pass a single key, such as key[0]")
    for name in names(batch, modalities):
        rng = np.random.default_rng([*words.tolist(), zlib.crc32(name.encode())])
        real = batch.effective_mask(name)
        if batch.weight is not None:
            real = real & (batch.weight > 0)[:, None]
        yield name, rng, batch.modalities[name], real
