"""Damaged inputs, to measure how a model holds up: noise, lost steps, lost and swapped modalities.

Each corruption is f(key, batch, severity, modalities=None) -> Batch, and `CORRUPTIONS` lists them.
Severity 0 leaves the batch as it is; 1 to 5 stand for these strengths (`STRENGTHS`):

                     1     2     3     4     5
    feature_noise  0.1  0.25   0.5   1.0   2.0   standard deviations of a feature
    drop_steps     0.1  0.25   0.5  0.75   0.9   probability that a step is lost
    drop_span      0.1  0.25   0.5  0.75   0.9   share of a sequence's steps, in one piece
    drop_modality  0.1  0.25   0.5  0.75   0.9   share of samples that lose the modality
    swap_modality  0.1  0.25   0.5  0.75   1.0   share of samples that get another one's

Only real data change: labels, weights, padding, rows of weight 0 and modalities a sample lacks stay
as they are. Each modality is damaged on its own, so what happens to one does not depend on which
others are named. With one key, a higher severity adds to the damage of a lower one: noise grows,
and further steps or samples are hit (a longer span, however, may lie elsewhere). To combine
corruptions give each its own key, since with one key they hit the same samples.

All is NumPy, and nothing is compiled. The input is never modified; arrays that do not change are
shared with it.

`subset` keeps some modalities only; with `subsets` a model can be scored on all 2^M - 1 of them.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np
from numpy.typing import ArrayLike

from lddu.structs import Batch, Modality

_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "feature_noise": (0.1, 0.25, 0.5, 1.0, 2.0),
    "drop_steps": _SHARES,
    "drop_span": _SHARES,
    "drop_modality": _SHARES,
    "swap_modality": (0.1, 0.25, 0.5, 0.75, 1.0),
}


def feature_noise(
    key: jax.Array,
    batch: Batch,
    severity: int,
    modalities: Sequence[str] | None = None,
    scale: Mapping[str, ArrayLike] | None = None,
) -> Batch:
    """Adds Gaussian noise to each feature, in proportion to its standard deviation.

    Args:
      key: PRNG key.
      batch: NumPy or JAX arrays.
      severity: 0 to 5; see the table above.
      modalities: Names of those to damage; None for all.
      scale: name -> (D,) standard deviations, for instance `fit_normalizer(train).std`; needed
        where the batch is too small to tell. None takes those over the batch's own real steps,
        by which constant features get no noise.

    Returns:
      A batch of NumPy arrays.

    Raises:
      ValueError: On another severity, an unknown modality, a scale that is missing, negative or of
        another width, or NaN or infinite features at real steps.
    """
    strength = _strength("feature_noise", severity)
    batch, changed = _opened(batch)
    for name, rng, modality, real in _each(key, batch, modalities):
        values = modality.values.astype(np.result_type(modality.values, np.float32))
        steps = values[real]
        if not np.isfinite(steps).all():
            raise ValueError(
                f"modality {name!r}: NaN or infinity at real steps; mask these steps or replace "
                "the values before noise is added"
            )
        std = _given_scale(scale, name, values.shape[-1])
        if std is None:
            std = steps.std(0, dtype=np.float64) if len(steps) else np.zeros(values.shape[-1])
        noise = rng.standard_normal(steps.shape, np.float32)
        values[real] = steps + noise * (strength * std).astype(values.dtype)
        changed[name] = modality.replace(values=values)
    return batch.replace(modalities=changed)


def drop_steps(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Loses single steps at random: they are masked out and their values set to 0.

    Steps keep their places, so gaps open within a sequence. A sample that loses every step of a
    modality counts as lacking it. Arguments and errors as in `feature_noise`.
    """
    share = _strength("drop_steps", severity)
    batch, changed = _opened(batch)
    for name, rng, modality, real in _each(key, batch, modalities):
        changed[name] = _without(modality, real & (rng.random(real.shape) < share))
    return batch.replace(modalities=changed)


def drop_span(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Loses one contiguous piece of each sequence, as when a sensor fails for a while.

    Of n real steps the piece has round(share * n), halves upwards; it starts anywhere it fits, with
    equal probability. Otherwise as `drop_steps`.
    """
    share = _strength("drop_span", severity)
    batch, changed = _opened(batch)
    for name, rng, modality, real in _each(key, batch, modalities):
        steps = real.sum(1)
        length = np.floor(share * steps + 0.5)
        start = np.floor(rng.random(len(steps)) * (steps - length + 1))
        position = np.cumsum(real, axis=1) - 1  # among the real steps
        after, before = position >= start[:, None], position < (start + length)[:, None]
        changed[name] = _without(modality, real & after & before)
    return batch.replace(modalities=changed)


def drop_modality(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Takes a modality from a share of the samples that have it: `present` becomes False.

    With several modalities named, a sample can lose more than one, even all it has. Arguments and
    errors as in `feature_noise`.
    """
    share = _strength("drop_modality", severity)
    batch, _ = _opened(batch)
    present = dict(batch.present)
    for name, rng, _, real in _each(key, batch, modalities):
        present[name] = present[name].copy()
        present[name][_chosen(rng, real, share)] = False
    return batch.replace(present=present)


def swap_modality(
    key: jax.Array, batch: Batch, severity: int, modalities: Sequence[str] | None = None
) -> Batch:
    """Gives a share of the samples the modality, values and mask, of another sample.

    The chosen samples pass theirs on in a circle of random order, so that none keeps its own. Where
    the share comes to one sample, a second one is drawn to swap with; where only one sample has the
    modality, nothing changes. Arguments and errors as in `feature_noise`.
    """
    share = _strength("swap_modality", severity)
    batch, changed = _opened(batch)
    for name, rng, modality, real in _each(key, batch, modalities):
        to = _chosen(rng, real, share, at_least=2)
        rows = np.arange(len(real))
        rows[to] = np.roll(to, 1) if len(to) > 1 else to
        changed[name] = jax.tree.map(lambda x, rows=rows: x[rows], modality)
    return batch.replace(modalities=changed)


CORRUPTIONS: Mapping[str, Callable[..., Batch]] = {
    f.__name__: f for f in (feature_noise, drop_steps, drop_span, drop_modality, swap_modality)
}


def subset(batch: Batch, modalities: Sequence[str]) -> Batch:
    """The batch as if only the named modalities had been recorded; the others count as missing.

    Raises:
      ValueError: If a name is unknown.
    """
    batch, _ = _opened(batch)
    kept = _names(batch, modalities)
    present = {name: has & (name in kept) for name, has in batch.present.items()}
    return batch.replace(present=present)


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All 2^M - 1 non-empty subsets of M names, small ones first."""
    sizes = range(1, len(names) + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(names, size)]


def _strength(corruption: str, severity: int) -> float:
    if severity not in range(6):
        raise ValueError(f"severity={severity}; choose one of 1, 2, 3, 4, 5, or 0 for no change")
    return (0.0, *STRENGTHS[corruption])[int(severity)]


def _opened(batch: Batch) -> tuple[Batch, dict[str, Modality]]:
    """The batch in NumPy, and a dict of its modalities to be changed."""
    batch = jax.tree.map(np.asarray, batch)
    return batch, dict(batch.modalities)


def _names(batch: Batch, modalities: Sequence[str] | None) -> list[str]:
    named = [modalities] if isinstance(modalities, str) else modalities
    named = list(batch.modalities if named is None else named)
    for name in named:
        if name not in batch.modalities:
            choices = ", ".join(map(repr, batch.modalities))
            raise ValueError(f"unknown modality {name!r}; choose among {choices}")
    return [name for name in batch.modalities if name in named]


def _each(
    key: jax.Array, batch: Batch, modalities: Sequence[str] | None
) -> Iterator[tuple[str, np.random.Generator, Modality, np.ndarray]]:
    """Name, random generator, arrays, and (B, T) which steps there are to damage."""
    words = np.asarray(jax.random.key_data(key))
    if words.ndim != 1:
        raise ValueError(f"key has shape {words.shape[:-1]}; pass a single key, one of them")
    for name in _names(batch, modalities):
        rng = np.random.default_rng([*words.tolist(), zlib.crc32(name.encode())])
        real = batch.effective_mask(name)
        if batch.weight is not None:
            real = real & (batch.weight > 0)[:, None]
        yield name, rng, batch.modalities[name], real


def _without(modality: Modality, lost: np.ndarray) -> Modality:
    values = np.where(lost[..., None], modality.values.dtype.type(0), modality.values)
    return Modality(values, modality.mask & ~lost)


def _chosen(
    rng: np.random.Generator, real: np.ndarray, share: float, at_least: int = 1
) -> np.ndarray:
    """Random rows, the given share of those with a real step, rounded; more with a larger share."""
    rows = rng.permutation(np.flatnonzero(real.any(1)))
    count = int(share * len(rows) + 0.5)
    return rows[: max(count, at_least) if count else 0]


def _given_scale(
    scale: Mapping[str, ArrayLike] | None, name: str, features: int
) -> np.ndarray | None:
    if scale is None:
        return None
    if name not in scale:
        raise ValueError(f"scale lacks modality {name!r}; it has {sorted(scale)}")
    std = np.asarray(scale[name], np.float64)
    if std.shape != (features,) or not (np.isfinite(std) & (std >= 0)).all():
        raise ValueError(
            f"scale[{name!r}] has shape {std.shape}, must be ({features},), one finite standard "
            "deviation >= 0 per feature"
        )
    return std
