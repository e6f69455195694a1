"""From sequences of differing length to a padded `Batch`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lddu.data.samples import TooLong, Vectors, read_samples, within
from lddu.structs import Batch, Modality


def pad(
    sequences: Sequence[np.ndarray | None],
    *,
    features: int,
    length: int | None = None,
    too_long: TooLong = "error",
) -> Modality:
    """Pads sequences of differing length at their ends.

    Args:
      sequences: One (T_i, features) array per sample; None or zero rows where it is missing.
      features: Width that every sequence must have.
      length: Steps to pad to; None takes the longest sequence.
      too_long: What becomes of a sequence of more steps than `length`: "error" refuses it, "cut"
        keeps its first steps, and "pool" takes the means of `length` nearly equal parts.

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
    if length is not None:
        arrays = [within(array, length, too_long) for array in arrays]
    lengths = np.array([len(array) for array in arrays], np.int64)
    longest = int(lengths.max(initial=0))
    length = max(longest, 1) if length is None else length
    if longest > length:
        raise ValueError(
            f"sequence {int(lengths.argmax())}: {longest} steps, more than length={length}; raise "
            "the length, or pass too_long='cut' or 'pool'"
        )
    mask = np.arange(length) < lengths[:, None]
    values = np.zeros((len(arrays), length, features), np.float32)
    if longest:
        values[mask] = np.concatenate(arrays).astype(np.float32)
    return Modality(values, mask)


def from_sequences(
    sequences: Mapping[str, Sequence[np.ndarray | None]],
    labels: Any = None,
    *,
    label_names: Sequence[str] | None = None,
    features: Mapping[str, int] | None = None,
    lengths: Mapping[str, int] | None = None,
    vectors: Vectors = "error",
    too_long: TooLong = "error",
) -> Batch:
    """Builds a `Batch` from lists of arrays, one list per modality.

    Args:
      sequences: name -> one (T_i, D) array per sample, None where the sample lacks the modality.
      labels: (N, C) labels in [0, 1]; a DataFrame with a column per label; the names of each
        sample's labels, as `encode_labels` takes them; or None if they are unknown.
      label_names: Names of the columns in the order wanted, which the batch keeps. Those of a
        DataFrame are brought into this order.
      features: name -> width; needed only where every sequence of a modality is None.
      lengths: name -> steps to pad to; a modality that is not named is padded to its longest
        sequence.
      vectors: What becomes of a vector (D,) in place of a sequence: "error" refuses it, "step"
        takes it as a sequence of one step.
      too_long: What becomes of a sequence of more steps than its length, as in `pad`.

    Returns:
      A `Batch` of NumPy arrays; a sample without steps lacks the modality. Samples of pandas
      objects with an index are matched by it.

    Raises:
      ValueError: If numbers of samples differ or shapes do not fit, naming the modality; or if
        labels or names of rows contradict each other, with both lists.

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
    sequences, labels, label_names = read_samples(sequences, labels, label_names, vectors)
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
            length = (lengths or {}).get(name)
            modalities[name] = pad(rows, features=width, length=length, too_long=too_long)
        except ValueError as error:
            raise ValueError(f"modality {name!r}: {error}") from None
        present[name] = modalities[name].mask.any(1)
    return Batch(modalities, present, labels, label_names=label_names)
