"""The authors' feature pickle, in DialogueRNN's form: ten dictionaries and lists."""

from typing import Any, NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS
from lddu.data.m3ed.labels import label_codes
from lddu.data.m3ed.readers.widths import MODALITIES, by_width, matrix

_ITEMS = (
    *("utterance ids", "speakers", "labels", "text", "speech", "vision", "sentences"),
    *("train ids", "val ids", "test ids"),
)
_FEATURES = (3, 4, 5)


class Dialogue(NamedTuple):
    """One dialogue of n utterances.

    Attributes:
      utterances: n ids as in the pickle, with the speaker in front, for example A_anjia_1_1.
      labels: n sets of codes.
      features: Modality -> (n, D) numbers.
    """

    utterances: list[str]
    labels: list[set[int]]
    features: dict[str, np.ndarray]


class Content(NamedTuple):
    """The content of a feature pickle.

    Attributes:
      dialogues: Dialogue id -> `Dialogue`.
      splits: Split -> dialogue ids.
    """

    dialogues: dict[str, Dialogue]
    splits: dict[str, list[str]]


def is_pickle_layout(content: Any) -> bool:
    """Tells whether this looks like the content of the authors' pickle, intact or damaged."""
    return isinstance(content, list | tuple)


def read_content(content: Any, where: str, findings: Findings) -> Content:
    """Checks and sorts the content of a feature pickle.

    Item 4 is speech and item 5 vision, which some readers take for the reverse; the features are
    told apart by their widths, and another order is corrected.

    Args:
      content: The content of the file.
      where: The file, which errors name.
      findings: Collects repairs.

    Raises:
      ValueError: If the layout differs, naming file, item and dialogue.
    """
    if len(content) != len(_ITEMS):
        raise ValueError(
            f"{where}: a list of {len(content)} items, expected {len(_ITEMS)}: {', '.join(_ITEMS)}"
        )
    ids = {}
    for i, name in enumerate(_ITEMS[:7]):
        if not isinstance(content[i], dict):
            kind = type(content[i]).__name__
            raise ValueError(f"{where}, item {i} ({name}): a {kind}, expected a dictionary")
        extra = [key for key in content[i] if key not in content[0]]
        if extra:
            raise ValueError(
                f"{where}, item {i} ({name}): dialogue {extra[0]!r:.60} is not in item 0"
            )
    _texts(list(content[0]), f"{where}, keys of item 0")
    for name, utterances in content[0].items():
        place = f"{where}, item 0 (utterance ids), dialogue {name!r:.60}"
        ids[name] = _texts(utterances, place)
        if len(set(ids[name])) < len(ids[name]):
            raise ValueError(f"{place}: an utterance is there twice")
    _check_rows(content, ids, where)
    empty = [name for name, utterances in ids.items() if not utterances]
    if empty:
        findings.repaired("dialogues without utterances, dropped", len(empty))
    kept = [name for name in ids if ids[name]]
    if not kept:
        raise ValueError(f"{where}, item 0 (utterance ids): no utterances")
    features = _features(content, kept, where, findings)
    dialogues = {
        name: Dialogue(
            ids[name],
            _labels(content[2][name], f"{where}, item 2 (labels), dialogue {name!r}"),
            {modality: features[modality][name] for modality in MODALITIES},
        )
        for name in kept
    }
    splits = {
        split: _texts(content[i], f"{where}, item {i} ({_ITEMS[i]})")
        for split, i in zip(SPLITS, (7, 8, 9), strict=True)
    }
    return Content(dialogues, splits)


def _texts(values: Any, where: str) -> list[str]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise ValueError(f"{where}: a {type(values).__name__}, expected a list of ids")
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{where}: {value!r:.60} is not text, expected an id")
    return [str(value) for value in values]


def _check_rows(content: Any, ids: dict[str, list[str]], where: str) -> None:
    for i in range(1, 7):
        for name, utterances in ids.items():
            place = f"{where}, item {i} ({_ITEMS[i]}), dialogue {name!r}"
            if name not in content[i]:
                raise ValueError(f"{place} is missing")
            value = content[i][name]
            sized = isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0
            if not sized or len(value) != len(utterances):
                rows = f"{len(value)} rows" if sized else f"a {type(value).__name__}"
                raise ValueError(f"{place}: {rows}, but item 0 has {len(utterances)} utterances")


def _features(
    content: Any, names: list[str], where: str, findings: Findings
) -> dict[str, dict[str, np.ndarray]]:
    """Returns modality -> dialogue id -> (n, D)."""
    arrays, widths = {}, {}
    for i in _FEATURES:
        place = f"{where}, item {i}"
        arrays[i] = {
            name: matrix(content[i][name], f"{place}, dialogue {name!r}") for name in names
        }
        widths[i] = arrays[i][names[0]].shape[1]
        for name, array in arrays[i].items():
            if array.shape[1] != widths[i]:
                raise ValueError(
                    f"{place}, dialogue {name!r}: {array.shape[1]} features, but dialogue "
                    f"{names[0]!r} has {widths[i]}"
                )
    item = by_width(widths, where)
    if tuple(item.values()) != _FEATURES:
        order = ", ".join(f"{name} in item {i}" for name, i in item.items())
        findings.repaired(f"features in another order, told apart by width ({order})", len(names))
    return {modality: arrays[i] for modality, i in item.items()}


def _labels(values: Any, where: str) -> list[set[int]]:
    return [label_codes(value, f"{where}, row {row}") for row, value in enumerate(values)]
