"""Damage to whole modalities: lost, swapped between samples, or reduced to a subset."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from lddu.data.corruptions.inputs import each, names, opened, strength
from lddu.structs import Batch


def drop_modality(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Takes a modality from a share of the samples that have it: `present` becomes False.

    If several modalities are damaged, a sample can lose more than one, even all that it has.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: Strength from 0 (no change) to 5; the table of the module lists what it means.
      modalities: Names of the modalities to damage; None damages all.

    Returns:
      The damaged batch, in NumPy arrays.

    Raises:
      ValueError: If the severity is not in 0..5, a modality is unknown, or `key` is not one key.

    Example:
      >>> import jax, numpy as np
      >>> from lddu.data import corruptions, from_sequences
      >>> batch = from_sequences({"text": [np.ones((2, 1))] * 8})
      >>> damaged = corruptions.drop_modality(jax.random.key(0), batch, 3)
      >>> int(damaged.present["text"].sum())  # half of the samples keep it
      4
    """
    share = strength("drop_modality", severity)
    batch, _ = opened(batch)
    present = dict(batch.present)
    for name, rng, _, real in each(key, batch, modalities):
        present[name] = present[name].copy()
        present[name][_chosen(rng, real, share)] = False
    return batch.replace(present=present)


def swap_modality(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Gives a share of the samples the modality, values and mask, of another sample.

    The chosen samples pass theirs on in a circle of random order, so that none keeps its own. If
    the share comes to one sample, a second one is drawn to swap with; if only one sample has the
    modality, nothing changes.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: Strength from 0 (no change) to 5; the table of the module lists what it means.
      modalities: Names of the modalities to damage; None damages all.

    Returns:
      The damaged batch, in NumPy arrays.

    Raises:
      ValueError: If the severity is not in 0..5, a modality is unknown, or `key` is not one key.

    Example:
      >>> import jax, numpy as np
      >>> from lddu.data import corruptions, from_sequences
      >>> batch = from_sequences({"text": [np.full((1, 1), i) for i in range(4)]})
      >>> swapped = corruptions.swap_modality(jax.random.key(0), batch, 5)
      >>> bool((swapped.modalities["text"].values != batch.modalities["text"].values).all())
      True
    """
    share = strength("swap_modality", severity)
    batch, changed = opened(batch)
    for name, rng, modality, real in each(key, batch, modalities):
        to = _chosen(rng, real, share, at_least=2)
        rows = np.arange(len(real))
        rows[to] = np.roll(to, 1) if len(to) > 1 else to
        changed[name] = jax.tree.map(lambda x, rows=rows: x[rows], modality)
    return batch.replace(modalities=changed)


def subset(batch: Batch, modalities: Sequence[str]) -> Batch:
    """Returns the batch as if only the named modalities had been recorded.

    Args:
      batch: NumPy or JAX arrays.
      modalities: Names of the modalities to keep; the others count as missing. May be empty.

    Raises:
      ValueError: If a modality is unknown.
    """
    batch, _ = opened(batch)
    kept = names(batch, modalities)
    present = {name: has & (name in kept) for name, has in batch.present.items()}
    return batch.replace(present=present)


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns all 2^M - 1 non-empty subsets of M names, small ones first.

    Example:
      >>> from lddu.data import corruptions
      >>> corruptions.subsets(("text", "audio"))
      [('text',), ('audio',), ('text', 'audio')]
    """
    sizes = range(1, len(names) + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(names, size)]


def _chosen(
    rng: np.random.Generator, real: np.ndarray, share: float, at_least: int = 1
) -> np.ndarray:
    """Draws a share of the rows with a real step; a larger share adds to those of a smaller one."""
    rows = rng.permutation(np.flatnonzero(real.any(1)))
    count = int(share * len(rows) + 0.5)
    return rows[: max(count, at_least) if count else 0]
