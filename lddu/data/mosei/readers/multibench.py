"""`mosei_raw.pkl` of MultiBench (Liang et al., NeurIPS 2021), padded with zeros at the start."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lddu.data.card import Findings
from lddu.data.mosei.labels import LABELS, intensities
from lddu.data.mosei.readers.rows import Rows, ids, modalities, numbers, require, same_count

_KEYS = {"text": "text", "audio": "audio", "vision": "vision"}


def read(split: Mapping[str, Any], where: str, findings: Findings) -> Rows:
    """Reads `text`, `audio`, `vision` and `labels`: sentiment, with or without six emotions.

    Args:
      split: The content of one split.
      where: File and split, which errors and findings name.
      findings: Collects intensities that had to be clamped.

    Raises:
      ValueError: If a key is missing or has another form.
    """
    require(split, ["labels"], where)
    values = modalities(split, _KEYS, where)
    counts = {_KEYS[name]: len(array) for name, array in values.items()}
    own_ids = ids(split, where)
    if own_ids:
        counts["id"] = len(own_ids.names)
    labels = numbers(split["labels"], f"{where} 'labels'")
    counts["labels"] = len(labels) if labels.ndim else 0
    same_count(counts, where)
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] not in (1, 1 + len(LABELS)):
        raise ValueError(
            f"{where} 'labels': shape {labels.shape}, expected (samples, 1, 1), the sentiment, or "
            "(samples, 1, 7), the sentiment and six emotions"
        )
    sentiment = flat[:, 0].astype(float)
    rows = Rows(where, values, _KEYS, padded="start", ids=own_ids, sentiment=sentiment)
    if flat.shape[1] == 1:
        return rows
    emotions = intensities(flat[:, 1:], lambda i: f"row {i}", f"{where} 'labels'", findings)
    return replace(rows, emotions=emotions, intensities=True)
