"""Padded data in memory: building, checking, slicing and ordering a `Batch`.

A data set is a `Batch` of NumPy arrays; a training step gathers its rows by index.
"""

import hashlib
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from lddu.config import ModelConfig
from lddu.structs import Batch, Modality

_CHUNK = 1024  # rows checked together, so that mapped data need not fit into memory


def pad(
    sequences: Sequence[np.ndarray | None], *, features: int, length: int | None = None
) -> Modality:
    """Pads sequences of differing length at their ends.

    Args:
      sequences: One (T_i, features) array per sample; None or zero rows where it is missing.
      features: Width that every sequence must have.
      length: Steps to pad to; None takes the longest sequence. Longer sequences are an error,
        because a silent cut would lose data.

    Returns:
      A `Modality` of float32 values (N, length, features) and its mask (N, length).

    Raises:
      ValueError: If a sequence has another width, is not 2-D, or is too long, naming it.
    """
    arrays = [
        np.zeros((0, features), np.float32) if s is None else np.asarray(s) for s in sequences
    ]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != features:
            raise ValueError(f"sequence {i}: shape {array.shape}, expected (steps, {features})")
    lengths = np.array([len(array) for array in arrays], np.int64)
    longest = int(lengths.max(initial=0))
    length = max(longest, 1) if length is None else length
    if longest > length:
        raise ValueError(
            f"sequence {int(lengths.argmax())}: {longest} steps, more than length={length}; cut it "
            "first or raise the length"
        )
    mask = np.arange(length) < lengths[:, None]
    values = np.zeros((len(arrays), length, features), np.float32)
    if longest:
        values[mask] = np.concatenate(arrays).astype(np.float32)
    return Modality(values, mask)


def from_sequences(
    sequences: Mapping[str, Sequence[np.ndarray | None]],
    labels: np.ndarray | None = None,
    *,
    features: Mapping[str, int] | None = None,
    lengths: Mapping[str, int] | None = None,
) -> Batch:
    """Builds a `Batch` from lists of arrays, one list per modality.

    Args:
      sequences: name -> one (T_i, D) array per sample, None where the sample lacks the modality.
      labels: (N, C) labels in [0, 1], or None if they are unknown.
      features: name -> width; needed only where every sequence of a modality is None.
      lengths: name -> steps to pad to; a modality that is not named is padded to its longest
        sequence.

    Returns:
      A `Batch` of NumPy arrays; a sample without steps lacks the modality.

    Raises:
      ValueError: If numbers of samples differ or shapes do not fit, naming the modality.

    Example:
      >>> import numpy as np
      >>> from lddu.data import from_sequences
      >>> text = [np.ones((2, 4)), np.ones((3, 4)), None]
      >>> batch = from_sequences({"text": text}, np.array([[1, 0], [0, 1], [0, 0]]))
      >>> batch.modalities["text"].values.shape
      (3, 3, 4)
      >>> batch.modalities["text"].mask.sum(1).tolist(), batch.present["text"].tolist()
      ([2, 3, 0], [True, True, False])
    """
    modalities, present = {}, {}
    counts = {name: len(rows) for name, rows in sequences.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"modalities differ in their number of samples: {counts}")
    for name, rows in sequences.items():
        widths = [np.shape(row)[1] for row in rows if np.ndim(row) == 2]
        width = (features or {}).get(name, widths[0] if widths else None)
        if width is None:
            raise ValueError(
                f"modality {name!r}: every sequence is missing; give features[{name!r}], its width"
            )
        try:
            modalities[name] = pad(rows, features=width, length=(lengths or {}).get(name))
        except ValueError as error:
            raise ValueError(f"modality {name!r}: {error}") from None
        present[name] = modalities[name].mask.any(1)
    return Batch(modalities, present, None if labels is None else np.asarray(labels, np.float32))


def check_batch(batch: Batch, config: ModelConfig, *, labelled: bool = False) -> None:
    """Raises ValueError unless a batch fits a model.

    Args:
      batch: NumPy or JAX arrays; rows with every modality missing are fine.
      config: Configuration of the model.
      labelled: Whether labels are required, at least one that is known.

    Raises:
      ValueError: If an array does not fit, naming it, its shape and the expected shape.
    """
    missing = [name for name in config.modality_names if name not in batch.modalities]
    if missing:
        raise ValueError(
            f"batch lacks modalities {missing}; it has {sorted(batch.modalities)}. For samples "
            "without a modality give its arrays with an all-False mask"
        )
    size = batch.size
    if size == 0:
        raise ValueError("batch has no rows")
    for m in config.modalities:
        _check_modality(batch, m.name, size, m.features, m.length)
    if batch.labels is None:
        if labelled:
            raise ValueError("batch has no labels, and training and scoring need them")
    else:
        labels = np.asarray(batch.labels)
        _check_labels(labels, size, config.labels)
        if labelled and np.isnan(labels).all():
            raise ValueError(
                "labels are all NaN, that is unknown; training and scoring need some that are known"
            )
    if batch.weight is not None:
        weight = np.asarray(batch.weight)
        if weight.shape != (size,) or not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError(f"weight: expected ({size},) finite non-negative, got {weight.shape}")


def _check_modality(batch: Batch, name: str, size: int, features: int, length: int) -> None:
    values, mask = (
        np.asarray(batch.modalities[name].values),
        np.asarray(batch.modalities[name].mask),
    )
    if values.ndim != 3 or values.shape[0] != size or values.shape[2] != features:
        raise ValueError(
            f"modality {name!r}: values have shape {values.shape}, expected ({size}, steps, "
            f"{features})"
        )
    if values.shape[1] > length:
        raise ValueError(
            f"modality {name!r}: {values.shape[1]} steps, but the model was configured for at most "
            f"{length}"
        )
    if mask.shape != values.shape[:2] or mask.dtype != bool:
        raise ValueError(
            f"modality {name!r}: mask is {mask.dtype} {mask.shape}, expected bool "
            f"{values.shape[:2]}"
        )
    here = np.asarray(batch.present.get(name))
    if here.shape != (size,) or here.dtype != bool:
        raise ValueError(
            f"present[{name!r}]: expected bool ({size},), got {here.dtype} {here.shape}"
        )
    finite = [np.isfinite(values[i : i + _CHUNK]).all(-1) for i in range(0, size, _CHUNK)]
    bad = ~np.concatenate(finite) & mask & here[:, None]
    if bad.any():
        row, step = np.argwhere(bad)[0]
        raise ValueError(
            f"modality {name!r}: NaN or infinity at {int(bad.sum())} real steps, first in row "
            f"{row}, step {step}; mask these steps or replace the values"
        )


def _check_labels(labels: np.ndarray, size: int, names: Sequence[str]) -> None:
    if labels.shape != (size, len(names)):
        raise ValueError(
            f"labels have shape {labels.shape}, expected ({size}, {len(names)}) for {list(names)}"
        )
    bad = ~(np.isnan(labels) | ((labels >= 0) & (labels <= 1)))
    if bad.any():
        row, label = np.argwhere(bad)[0]
        raise ValueError(
            "labels must lie in [0, 1] (0 and 1, or shares of votes), or be NaN where unknown, got "
            f"{labels[row, label]:.4g} for {names[label]!r} in row {row}"
        )


def fingerprint(batch: Batch) -> str:
    """Returns a hash of a batch: equal for equal names, types, shapes and values, and only then.

    Labels that are unknown count as equal, whatever the bits of their NaN.
    """
    digest = hashlib.blake2b(digest_size=16)
    if batch.labels is not None and np.issubdtype(np.asarray(batch.labels).dtype, np.floating):
        labels = np.array(batch.labels)
        labels[np.isnan(labels)] = np.nan
        batch = batch.replace(labels=labels)
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        leaf = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(leaf.view(np.uint8).data if leaf.size else b"")
    return digest.hexdigest()


def take(batch: Batch, rows: np.ndarray | jax.Array | slice) -> Batch:
    """Returns the chosen rows of a batch, in the order given.

    Args:
      batch: NumPy or JAX arrays.
      rows: Integer or boolean positions, or a slice.

    Example:
      >>> import numpy as np
      >>> from lddu.data import from_sequences, take
      >>> batch = from_sequences({"text": [np.ones((n, 1)) for n in (1, 2, 3)]}, np.eye(3))
      >>> take(batch, np.array([2, 0])).labels.tolist()
      [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    return jax.tree.map(lambda x: x[rows], batch)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Joins batches along their rows.

    Args:
      batches: Batches with the same modalities, widths and padded lengths.

    Example:
      >>> import numpy as np
      >>> from lddu.data import concatenate, from_sequences
      >>> batch = from_sequences({"text": [np.ones((2, 1))]}, np.array([[1]]))
      >>> concatenate([batch, batch, batch]).size
      3
    """
    return jax.tree.map(lambda *x: np.concatenate(x), *batches)


def order(key: jax.Array, rows: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws a shuffled pass over the data in batches of one size.

    Args:
      key: PRNG key of the epoch.
      rows: Number of rows of the data, N.
      batch_size: Rows per batch.

    Returns:
      Row indices (steps, batch_size), and weights of the same shape: the last batch is filled up
      with rows of weight 0, so that every example counts exactly once.
    """
    permuted = np.asarray(jax.random.permutation(key, rows))
    return batches(permuted, batch_size)


def batches(indices: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts indices into equal batches, the last one filled with the first indices at weight 0.

    Args:
      indices: (N,) row indices, in the order to be visited.
      batch_size: Rows per batch.

    Returns:
      Row indices (steps, batch_size), and float32 weights of the same shape, 1 or 0.
    """
    steps = -(-len(indices) // batch_size)
    # Different rows fill it, since copies of one row with long sequences could not be packed.
    filler = np.resize(indices, steps * batch_size - len(indices))
    weight = np.ones(steps * batch_size, np.float32)
    weight[len(indices) :] = 0.0
    shape = (steps, batch_size)
    return np.concatenate([indices, filler]).reshape(shape), weight.reshape(shape)
