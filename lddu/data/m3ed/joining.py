"""The annotation of each utterance of the feature pickle, looked up by id."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.data.m3ed.labels import multi_hot
from lddu.data.m3ed.readers import annotations, pickles

_MOST = 0.05  # share of misfits beyond which the files do not belong together


class Matched(NamedTuple):
    """A dialogue with its annotations.

    Attributes:
      dialogue: Features and labels of n utterances.
      ids: n ids in annotation.json, None for an utterance that it lacks.
      annotations: n annotations, None for an utterance without one.
    """

    dialogue: pickles.Dialogue
    ids: list[str | None]
    annotations: list[annotations.Annotation | None]


def match(
    dialogues: Mapping[str, pickles.Dialogue],
    annotated: Mapping[str, annotations.Dialogue],
    where: str,
    findings: Findings,
    *,
    both_ways: bool,
) -> dict[str, Matched]:
    """Looks up the annotation of every utterance by its id.

    The pickle has the speaker in front of the id, for example A_anjia_1_1 for anjia_1_1; ids
    without the speaker fit too.

    Args:
      dialogues: Dialogue id -> dialogue, of the pickle.
      annotated: Dialogue id -> dialogue, of annotation.json.
      where: The feature file, which errors name.
      findings: Collects the counts of misfits.
      both_ways: Whether annotations without features count as misfits.

    Returns:
      Dialogue id -> the dialogue with its annotations.

    Raises:
      ValueError: If more than 5 % of the utterances do not fit, or more than 5 % of the labels
        contradict each other.
    """
    out = {}
    for name, dialogue in dialogues.items():
        known = annotated[name].utterances if name in annotated else {}
        ids = [_id(utterance, known) for utterance in dialogue.utterances]
        given = [i for i in ids if i is not None]
        if len(set(given)) < len(given):
            raise ValueError(f"{where}, item 0, dialogue {name!r}: an utterance is there twice")
        out[name] = Matched(dialogue, ids, [None if i is None else known[i] for i in ids])
    total = sum(len(d.utterances) for d in dialogues.values())
    fitting = sum(i is not None for matched in out.values() for i in matched.ids)
    listed = sum(len(dialogue.utterances) for dialogue in annotated.values())
    _misfits(
        where,
        "utterances of the feature file are not in annotation.json",
        total - fitting,
        total,
        findings,
    )
    _misfits(
        where,
        "utterances of annotation.json are not in the feature file",
        listed - fitting,
        listed if both_ways else 0,
        findings,
    )
    _compare_labels(out, where, findings)
    return out


def _id(utterance: str, known: Mapping[str, annotations.Annotation]) -> str | None:
    bare = utterance.partition("_")[2]
    return utterance if utterance in known else bare if bare in known else None


def _misfits(where: str, what: str, count: int, total: int, findings: Findings) -> None:
    """Warns of misfits; raises ValueError if they are too many of `total`, unless that is 0."""
    if count:
        findings.warn(f"{count:,} {what}")
    if total and count > _MOST * total:
        raise ValueError(
            f"{where}: {count:,} of {total:,} {what}; the files do not belong together"
        )


def _compare_labels(matched: Mapping[str, Matched], where: str, findings: Findings) -> None:
    pairs = [
        (labels, annotation.main)
        for m in matched.values()
        for labels, annotation in zip(m.dialogue.labels, m.annotations, strict=True)
        if annotation is not None and annotation.main
    ]
    other = sum(not main <= labels for labels, main in pairs)
    what = (
        "utterances have another label in the feature file than final_main_emo in annotation.json"
    )
    _misfits(where, what, other, len(pairs), findings)


def soft_labels(matched: Matched) -> np.ndarray | None:
    """Computes the soft labels of a dialogue.

    Returns:
      (7,) highest share of annotators, over the utterances, who name each emotion; None if no
      utterance has an annotator's answer.
    """
    votes = [a.votes for a in matched.annotations if a is not None and a.votes is not None]
    return np.max(votes, 0) if votes else None


def utterance_labels(annotation: annotations.Annotation) -> tuple[np.ndarray, np.ndarray]:
    """Returns (7,) hard labels and (7,) vote shares; without votes, the hard labels twice."""
    hard = multi_hot(annotation.labels)
    return hard, hard if annotation.votes is None else annotation.votes
