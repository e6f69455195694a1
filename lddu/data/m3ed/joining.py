"""Which annotation belongs to which utterance of the feature pickle."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lddu.data.card import Findings
from lddu.data.m3ed.labels import multi_hot
from lddu.data.m3ed.readers import annotations, pickles

_MOST = 0.05  # beyond this share of misfits the files do not belong together


class Matched(NamedTuple):
    """A dialogue with its annotations.

    Attributes:
      dialogue: The features and labels.
      ids: Per utterance its id in annotation.json, or None where it is not there.
      annotations: Per utterance its annotation, or None.
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
    """Finds the annotation of every utterance, by its id.

    The pickle has the speaker before the id, as in A_anjia_1_1 for anjia_1_1; ids without the
    speaker are taken too.

    Args:
      dialogues: The pickle's dialogues.
      annotated: Those of annotation.json.
      where: The feature file.
      findings: Takes the counts of what does not fit.
      both_ways: Whether annotations without features count as misfits.

    Raises:
      ValueError: If more than 5 % of utterances do not fit, or of labels contradict each other.
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
    found = sum(i is not None for matched in out.values() for i in matched.ids)
    listed = sum(len(dialogue.utterances) for dialogue in annotated.values())
    _misfits(
        where,
        "utterances of the feature file are not in annotation.json",
        total - found,
        total,
        findings,
    )
    _misfits(
        where,
        "utterances of annotation.json are not in the feature file",
        listed - found,
        listed if both_ways else 0,
        findings,
    )
    _compare_labels(out, where, findings)
    return out


def _id(utterance: str, known: Mapping[str, annotations.Annotation]) -> str | None:
    bare = utterance.partition("_")[2]
    return utterance if utterance in known else bare if bare in known else None


def _misfits(where: str, what: str, count: int, total: int, findings: Findings) -> None:
    """Warns of misfits; an error where they are too many of `total`, if that is not 0."""
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
    """(7,) highest share of annotators, over a dialogue's utterances, who name each emotion.

    None where no utterance has an annotator's answer.
    """
    votes = [a.votes for a in matched.annotations if a is not None and a.votes is not None]
    return np.max(votes, 0) if votes else None


def utterance_labels(annotation: annotations.Annotation) -> tuple[np.ndarray, np.ndarray]:
    """(7,) hard labels and (7,) vote shares; the hard ones again where there are no votes."""
    hard = multi_hot(annotation.labels)
    return hard, hard if annotation.votes is None else annotation.votes
