"""CARAT's m3ed_data_60.pt: dialogues that are padded to 60 utterances, and split."""

from typing import Any, NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS
from lddu.data.m3ed.labels import LABELS, multi_hot
from lddu.data.m3ed.readers.widths import by_width

_KEYS = {"text": "src-text", "audio": "src-audio", "vision": "src-visual"}
_NAMES = {"valid": ("valid", "val", "dev")}
_PAD, _BEGIN, _END, _FIRST = 0, 2, 3, 4


class Part(NamedTuple):
    """One split of N dialogues.

    Attributes:
      values: Modality -> features, one array (N, T, D) or N arrays (T, D).
      lengths: (N,) numbers of utterances.
      labels: (N, 7) float32 zeros and ones.
    """

    values: dict[str, Any]
    lengths: np.ndarray
    labels: np.ndarray


def is_carat_layout(content: Any) -> bool:
    """Tells whether this looks like the content of CARAT's file, intact or damaged."""
    return isinstance(content, dict) and "train" in content


def read_parts(content: dict, where: str, findings: Findings) -> dict[str, Part]:
    """Checks and sorts the content of CARAT's file.

    Its writer takes item 4 of the authors' pickle, speech, for visual and item 5, vision, for
    audio, so that the names are swapped; the widths tell the modalities apart.

    Args:
      content: The content of the file.
      where: The file, which errors name.
      findings: Collects repairs.

    Returns:
      Split -> `Part`.

    Raises:
      ValueError: If the layout differs, naming file, split and key.
    """
    parts = {}
    for split in SPLITS:
        name = next((n for n in _NAMES.get(split, (split,)) if n in content), None)
        if name is None:
            raise ValueError(f"{where}: no key {split!r} among {list(content)!r:.200}")
        parts[split] = _part(content[name], f"{where}, {name}", findings)
    return parts


def _part(part: Any, where: str, findings: Findings) -> Part:
    wanted = (*_KEYS.values(), "len_list", "tgt")
    if not isinstance(part, dict):
        raise ValueError(f"{where}: a {type(part).__name__}, expected a dictionary")
    missing = [key for key in wanted if key not in part]
    if missing:
        raise ValueError(f"{where}: no key {', '.join(missing)} among {list(part)!r:.200}")
    tgt = _rows(part["tgt"], f"{where}, tgt")
    count = len(tgt)
    widths = {}
    for key in _KEYS.values():
        values = _rows(part[key], f"{where}, {key}")
        if len(values) != count:
            raise ValueError(f"{where}, {key}: {len(values)} samples, but tgt has {count}")
        widths[key] = _width(values, f"{where}, {key}")
    keys = by_width(widths, where)
    if keys != _KEYS:
        held = ", ".join(f"{key} holds {name}" for name, key in keys.items() if _KEYS[name] != key)
        findings.repaired(f"modalities under each other's names, put right ({held})", count)
    labels = [_codes(row, f"{where}, tgt, row {i}") for i, row in enumerate(tgt)]
    return Part(
        {name: part[key] for name, key in keys.items()},
        _lengths(part["len_list"], count, f"{where}, len_list"),
        np.stack([multi_hot(codes) for codes in labels]),
    )


def _rows(values: Any, where: str) -> Any:
    sized = isinstance(values, list | tuple) or getattr(values, "ndim", 0) > 0
    if not sized or not len(values):
        raise ValueError(f"{where}: {values!r:.60}, expected one row per dialogue")
    return values


def _width(values: Any, where: str) -> int:
    try:
        shape = np.shape(values[0])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}, row 0: {error}") from error
    if len(shape) != 2:
        raise ValueError(f"{where}: rows of shape {shape}, expected (utterances, features)")
    return shape[1]


def _lengths(values: Any, count: int, where: str) -> np.ndarray:
    try:
        lengths = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    if lengths.shape != (count,) or lengths.dtype.kind not in "iu" or lengths.min() < 1:
        raise ValueError(
            f"{where}: {lengths.dtype} {lengths.shape}, expected ({count},) positive integers"
        )
    return lengths


def _codes(row: Any, where: str) -> set[int]:
    codes = row.tolist() if isinstance(row, np.ndarray) else row
    whole = isinstance(codes, list | tuple) and all(
        isinstance(c, int | np.integer) and not isinstance(c, bool) for c in codes
    )
    if whole:
        codes = [int(code) for code in codes]
        while codes and codes[-1] == _PAD:
            codes.pop()
        inner = [code - _FIRST for code in codes[1:-1]]
        framed = len(codes) > 1 and codes[0] == _BEGIN and codes[-1] == _END
        known = all(0 <= code < len(LABELS) for code in inner)
        if framed and known and len(set(inner)) == len(inner):
            return set(inner)
    raise ValueError(
        f"{where}: {row!r:.80}, expected [{_BEGIN}, codes {_FIRST} to {_FIRST + len(LABELS) - 1}, "
        f"{_END}]"
    )
