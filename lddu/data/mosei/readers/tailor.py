"""`train_valid_test.pt` of TAILOR (Zhang et al., AAAI 2022) and CARAT (Peng et al., AAAI 2024)."""

from collections.abc import Mapping
from typing import Any

from lddu.data.card import Findings
from lddu.data.mosei.labels import from_codes
from lddu.data.mosei.readers.rows import Rows, modalities, require, same_count

_KEYS = {"text": "src-text", "audio": "src-audio", "vision": "src-visual"}


def read(split: Mapping[str, Any], where: str, findings: Findings) -> Rows:
    """Reads `src-text`, `src-audio` and `src-visual` of 60 steps, and the labels `tgt` as codes.

    Args:
      split: The content of one split.
      where: File and split, which errors and findings name.
      findings: Collects labels that are named twice.

    Raises:
      ValueError: If a key is missing or has another form.
    """
    require(split, ["tgt"], where)
    values = modalities(split, _KEYS, where)
    emotions = from_codes(split["tgt"], f"{where} 'tgt'", findings)
    counts = {_KEYS[name]: len(array) for name, array in values.items()} | {"tgt": len(emotions)}
    same_count(counts, where)
    return Rows(where, values, _KEYS, padded="end", emotions=emotions)
