"""`stream`: examples one after the other to batches, for data that do not fit into memory."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lddu.data.sequences import pad
from lddu.structs import Batch


def stream(
    examples: Iterable[Mapping[str, Any]],
    shapes: Mapping[str, tuple[int, int]],
    *,
    batch_size: int = 256,
) -> Iterator[Batch]:
    """Yields batches without labels from examples, for `lddu.Predictor.predict_batches`.

    Args:
      examples: Mappings from modality to (T, D) numbers, such as a streamed Hugging Face data set;
        a modality that is None, empty or not there is missing. A flat list is cut into steps.
        Other keys are ignored.
      shapes: Modality -> (features, steps), such as `Dataset.shapes()` of the training data. Every
        batch is padded to these steps.
      batch_size: Rows of a batch; the last one may have fewer.

    Yields:
      Batches, of which only one is in memory at a time.

    Raises:
      ValueError: If a sequence is not numeric, of another width, too long or not finite, naming
        example and modality.

    Example:
      >>> from lddu.data import stream
      >>> examples = ({"audio": [[0.5, 1.0]] * n} for n in (1, 3, 2))
      >>> [b.modalities["audio"].mask.sum(1).tolist()
      ...  for b in stream(examples, {"audio": (2, 4)}, batch_size=2)]
      [[1, 3], [2]]
    """
    examples, start = iter(examples), 0
    while rows := list(itertools.islice(examples, batch_size)):
        modalities = {
            name: pad(
                [
                    _array(row.get(name), f"example {start + i}, {name!r}", width, steps)
                    for i, row in enumerate(rows)
                ],
                features=width,
                length=steps,
            )
            for name, (width, steps) in shapes.items()
        }
        present = {name: modality.mask.any(1) for name, modality in modalities.items()}
        yield Batch(modalities, present)
        start += len(rows)


def _array(cell: Any, where: str, width: int, steps: int) -> np.ndarray | None:
    """Returns the steps of one example, or None if it lacks the modality."""
    if cell is None or len(cell) == 0:
        return None
    try:
        array = np.asarray(cell, np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
    if array.ndim == 1 and array.size % width == 0:
        array = array.reshape(-1, width)
    if array.ndim != 2 or array.shape[1] != width:
        raise ValueError(f"{where}: shape {array.shape}, expected (steps, {width})")
    if len(array) > steps:
        raise ValueError(f"{where}: {len(array)} steps, expected at most {steps}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: NaN or infinity; replace these values")
    return array
