"""`aligned_50.pkl` and `unaligned_50.pkl` of MMSA (Yu et al., AAAI 2021), and LDDU's with labels.

MMSA's files have sentiment only. LDDU's `aligned_501.pkl` and `no_align_501.pkl` add `tgt`, the
emotions as lists of codes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lddu.data.card import Findings
from lddu.data.mosei.labels import from_codes
from lddu.data.mosei.readers.rows import Rows, column, ids, modalities, numbers, require, same_count

_KEYS = {"text": "text", "audio": "audio", "vision": "vision"}


def read(split: Mapping[str, Any], where: str, findings: Findings) -> Rows:
    """Reads `text`, `audio`, `vision`, `id`, `regression_labels`, and true lengths if declared.

    Args:
      split: The content of one split.
      where: File and split, which errors and findings name.
      findings: Collects labels that are named twice.

    Raises:
      ValueError: If a key is missing or has another form.
    """
    values = modalities(split, _KEYS, where)
    counts = {_KEYS[name]: len(array) for name, array in values.items()}
    own = ["tgt"] if "tgt" in split else []
    require(split, ["id", *([] if own else ["regression_labels"])], where)
    own_ids = ids(split, where)
    counts["id"] = len(own_ids.names)
    emotions = sentiment = None
    if own:
        emotions = from_codes(split["tgt"], f"{where} 'tgt'", findings)
        counts["tgt"] = len(emotions)
    if "regression_labels" in split:
        sentiment = column(split["regression_labels"], f"{where} 'regression_labels'")
        counts["regression_labels"] = len(sentiment)
    lengths = {}
    if "text_bert" in split:
        lengths["text"] = words(split["text_bert"], f"{where} 'text_bert'")
        counts["text_bert"] = len(lengths["text"])
    for name in ("audio", "vision"):
        key = f"{name}_lengths"
        if key in split:
            lengths[name] = column(split[key], f"{where} {key!r}")
            counts[key] = len(lengths[name])
    same_count(counts, where)
    return Rows(where, values, _KEYS, lengths, "end", own_ids, emotions, sentiment=sentiment)


def words(tokens: Any, where: str) -> np.ndarray:
    """Counts the tokens of each sample by BERT's attention mask.

    Args:
      tokens: (N, 3, T) input of BERT: token numbers, attention mask, segments.
      where: File, split and key, which errors name.

    Returns:
      (N,) numbers of tokens.

    Raises:
      ValueError: If a mask is anything but ones followed by zeros.
    """
    array = numbers(tokens, where)
    if array.ndim != 3 or array.shape[1] != 3 or array.shape[2] == 0:
        raise ValueError(f"{where}: shape {array.shape}, expected (samples, 3, tokens)")
    mask = array[:, 1]
    count = mask.sum(1)
    bad = (mask != (np.arange(mask.shape[1]) < count[:, None])).any(1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"{where}, row {row}: an attention mask must be ones and then zeros, "
            f"got {mask[row].tolist()!r:.80}"
        )
    return count
