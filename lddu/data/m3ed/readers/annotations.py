"""annotation.json: the emotions three annotators gave each utterance, and the agreed ones."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lddu.data.m3ed.labels import LABELS, codes_of, multi_hot

_ANNOTATORS = ("EmoAnnotator1", "EmoAnnotator2", "EmoAnnotator3")


class Annotation(NamedTuple):
    """The annotation of one utterance.

    Attributes:
      labels: Codes of the agreed emotions, `final_mul_emo`; empty if nothing was annotated.
      main: Codes in `final_main_emo`: one, or none if the field is empty.
      votes: (7,) float32 share of the annotators who name each emotion, among those who name any;
        None if nobody does.
    """

    labels: set[int]
    main: set[int]
    votes: np.ndarray | None


class Dialogue(NamedTuple):
    """The annotations of one dialogue.

    Attributes:
      series: The television series that it is from.
      utterances: Utterance id -> annotation.
    """

    series: str
    utterances: dict[str, Annotation]


def read_annotations(path: Path) -> dict[str, Dialogue]:
    """Reads annotation.json, except for its times and texts.

    Returns:
      Dialogue id -> `Dialogue`.

    Raises:
      ValueError: If the file is damaged, lacks a key, has one twice or holds an unknown emotion,
        naming the place.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = json.load(file, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    dialogues: dict[str, Dialogue] = {}
    for series, parts in _object(content, f"{path}").items():
        for name, dialogue in _object(parts, f"{path}, series {series!r}").items():
            where = f"{path}, dialogue {name!r}"
            if name in dialogues:
                raise ValueError(
                    f"{where} is in the series {dialogues[name].series!r} and {series!r}"
                )
            utterances = _object(_get(dialogue, "Dialog", where), f"{where}, Dialog")
            dialogues[name] = Dialogue(
                series,
                {
                    utterance: _annotation(value, f"{where}, utterance {utterance!r}")
                    for utterance, value in utterances.items()
                },
            )
    if not dialogues:
        raise ValueError(f"{path} has no dialogues")
    return dialogues


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return content


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: a {type(value).__name__}, expected a JSON object")
    return value


def _get(value: Any, key: str, where: str) -> Any:
    value = _object(value, where)
    if key not in value:
        raise ValueError(f"{where}: no key {key!r} among {list(value)}")
    return value[key]


def _annotation(value: Any, where: str) -> Annotation:
    emotions = _get(value, "EmoAnnotation", where)

    def codes(key: str) -> set[int]:
        return codes_of(_get(emotions, key, f"{where}, EmoAnnotation"), f"{where}, {key}")

    named = [answer for answer in map(codes, _ANNOTATORS) if answer]
    votes = np.mean([multi_hot(answer) for answer in named], 0) if named else None
    main = codes("final_main_emo")
    if len(main) > 1:
        names = sorted(LABELS[code] for code in main)
        raise ValueError(f"{where}, final_main_emo: {', '.join(names)}; expected one emotion")
    return Annotation(codes("final_mul_emo"), main, votes)
