"""`load`: from M3ED's files to a `Dataset`."""

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from lddu.data.cache import Allocate, cached, identity
from lddu.data.card import Findings, make_card, read_source
from lddu.data.cleaning import clean
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.formats import load_torch
from lddu.data.m3ed import splits
from lddu.data.m3ed.joining import Matched, match, soft_labels, utterance_labels
from lddu.data.m3ed.labels import LABELS, multi_hot
from lddu.data.m3ed.locating import NEEDED, Files, locate
from lddu.data.m3ed.readers import annotations, carat, pickles
from lddu.data.m3ed.readers.widths import MODALITIES
from lddu.structs import Batch

Task = Literal["dialogue", "utterance"]

# Samples per split of each task, as published; the release differs by up to 0.1 %.
PUBLISHED = {
    "dialogue": {"train": 685, "valid": 126, "test": 179},
    "utterance": {"train": 17427, "valid": 2821, "test": 4201},
}
_TOLERANCE = 0.001
_VERSION = 1  # of the processing; part of the cache's key
_STEPS = 60
_SOFT = {
    "dialogue": "soft labels = highest share of annotators over its utterances",
    "utterance": "soft labels = share of annotators",
}
_TASKS = {
    "dialogue": (
        f"one sample = one dialogue as a sequence of utterance vectors, cut to {_STEPS}; labels = "
        "union of its utterances' emotions"
    ),
    "utterance": ("one sample = one utterance, one step per modality; labels = final_mul_emo"),
}


class _Rows(NamedTuple):
    """The N samples of a split before cleaning.

    Attributes:
      ids: N ids.
      values: Modality -> features, as `clean` takes them.
      lengths: (N,) true lengths; None if a sequence of zeros is a missing one.
      labels: (N, 7) hard labels.
      soft: (N, 7) soft labels, or None.
    """

    ids: list[str]
    values: dict[str, Any]
    lengths: np.ndarray | None
    labels: np.ndarray
    soft: np.ndarray | None


def load(
    path: str | Path,
    *,
    task: Task = "dialogue",
    cache: str | os.PathLike | bool | None = True,
    progress: bool = True,
) -> Dataset:
    """Loads M3ED with modalities "text", "audio" and "vision" and the labels `LABELS`.

    Task "dialogue": one sample is one dialogue, as CARAT reports it; its sequence is one vector per
    utterance, cut to 60, and a label is present if any of its utterances has it, cut or not. An
    utterance whose vector is zero stays a step. Soft labels need annotation.json: the highest share
    of annotators, over the utterances, who name the emotion.

    Task "utterance": one sample is one utterance, with one step per modality; a zero vector is a
    missing modality. Labels are `final_mul_emo`; soft labels are the share of annotators who name
    the emotion, among those who gave an answer.

    Splits are by series if splitInfo is there, else as the feature file has them.

    Args:
      path: A folder with the files, or the feature file: the authors' pickle of ten items, or
        CARAT's m3ed_data_60.pt. annotation.json and splitInfo/ are searched beside and above it.
      task: "dialogue" or "utterance".
      cache: Folder in which the prepared arrays are kept. True takes
        `lddu.data.cache.cache_folder()`; False or None keeps nothing and holds all in memory.
      progress: Whether to show a progress bar while large files are read.

    Returns:
      The three splits, with a card that says what was read and repaired.

    Raises:
      FileNotFoundError: If `path` does not exist.
      UnsafePickleError: If the feature file asks for more than data.
      ValueError: If a file is missing, damaged or does not fit the others, naming file and place.
    """
    if task not in get_args(Task):
        raise ValueError(f"task={task!r}, expected 'dialogue' or 'utterance'")
    files = locate(path, task)
    key = {
        "data": "m3ed",
        "version": _VERSION,
        "task": task,
        "sources": [identity(file) for file in files.paths()],
    }
    return cached(key, lambda allocate: _build(files, task, allocate, progress), cache)


def _build(files: Files, task: Task, allocate: Allocate, progress: bool) -> Dataset:
    findings, where = Findings(), str(files.features)
    content = load_torch(files.features)
    if pickles.is_pickle_layout(content):
        layout, used = "the authors' feature pickle", files.paths()
        rows = _from_pickle(content, files, task, findings)
    elif carat.is_carat_layout(content):
        layout, used = "CARAT's m3ed_data_60.pt", [files.features]
        if task != "dialogue":
            raise ValueError(
                f"{where} is CARAT's file, which has dialogues only; task {task!r} needs "
                f"{NEEDED[task]}"
            )
        rows = _from_carat(content, where, findings)
    else:
        keys = f" with keys {list(content)!r:.200}" if isinstance(content, dict) else ""
        raise ValueError(
            f"{where} holds a {type(content).__name__}{keys}; task {task!r} needs {NEEDED[task]}"
        )
    made = {s: _split(s, rows[s], files.features.name, findings, allocate) for s in SPLITS}
    soft = made["train"].soft is not None
    card = make_card(
        "M3ED",
        layout,
        f"{task}: {_TASKS[task]}; {_SOFT[task] if soft else 'no soft labels'}",
        [read_source(file, progress=progress) for file in used],
        {name: split.batch for name, split in made.items()},
        LABELS,
        PUBLISHED[task],
        findings,
        tolerance=_TOLERANCE,
    )
    return Dataset(*made.values(), labels=LABELS, card=card)


def _split(name: str, rows: _Rows, file: str, findings: Findings, allocate: Allocate) -> Split:
    modalities = {
        modality: clean(
            values,
            f"{file}, {name}, {modality}",
            findings,
            lengths=rows.lengths,
            steps=_STEPS,
            allocate=allocate,
            name=f"{name}.{modality}",
        )
        for modality, values in rows.values.items()
    }
    present = {modality: m.mask.any(1) for modality, m in modalities.items()}
    return Split(Batch(modalities, present, rows.labels), np.array(rows.ids), rows.soft)


def _from_carat(content: dict, where: str, findings: Findings) -> dict[str, _Rows]:
    return {
        split: _Rows(
            [f"{split}-{row}" for row in range(len(part.labels))],
            part.values,
            part.lengths,
            part.labels,
            None,
        )
        for split, part in carat.read_parts(content, where, findings).items()
    }


def _from_pickle(content: Any, files: Files, task: Task, findings: Findings) -> dict[str, _Rows]:
    where = str(files.features)
    pickled = pickles.read_content(content, where, findings)
    annotated = annotations.read_annotations(files.annotation) if files.annotation else None
    series = {
        name: annotated[name].series if annotated and name in annotated else name.rpartition("_")[0]
        for name in pickled.dialogues
    }
    lists = splits.read_lists(files.lists) if files.lists else None
    names = splits.assign(series, pickled.splits, lists, where, findings)
    if annotated is None:
        matched = {
            name: Matched(d, [None] * len(d.labels), [None] * len(d.labels))
            for name, d in pickled.dialogues.items()
        }
    else:
        matched = match(
            pickled.dialogues, annotated, where, findings, both_ways=task == "utterance"
        )
    rows = {}
    for split, members in names.items():
        parts = {name: matched[name] for name in members}
        if task == "dialogue":
            rows[split] = _dialogues(parts, annotated is not None, findings)
        else:
            rows[split] = _utterances(parts, f"{where}, {split}", findings)
    return rows


def _dialogues(matched: dict[str, Matched], soft: bool, findings: Findings) -> _Rows:
    labels = np.stack([multi_hot(set().union(*m.dialogue.labels)) for m in matched.values()])
    votes = [soft_labels(m) if soft else None for m in matched.values()]
    if soft:
        findings.repaired(
            "dialogues without annotators' answers, whose hard labels serve as soft ones",
            sum(v is None for v in votes),
        )
    return _Rows(
        list(matched),
        {name: [m.dialogue.features[name] for m in matched.values()] for name in MODALITIES},
        np.array([len(m.dialogue.utterances) for m in matched.values()]),
        labels,
        np.stack([hard if v is None else v for hard, v in zip(labels, votes, strict=True)])
        if soft
        else None,
    )


def _utterances(matched: dict[str, Matched], where: str, findings: Findings) -> _Rows:
    ids, hard, votes = [], [], []
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in MODALITIES}
    for m in matched.values():
        for row, (name, annotation) in enumerate(zip(m.ids, m.annotations, strict=True)):
            if annotation is None:
                findings.repaired("utterances without an annotation, dropped", 1)
                continue
            if not annotation.labels:
                findings.repaired("utterances with an empty final_mul_emo, dropped", 1)
                continue
            if annotation.votes is None:
                findings.repaired(
                    "utterances without annotators' answers, whose hard labels serve as soft ones",
                    1,
                )
            ids.append(name)
            labels = utterance_labels(annotation)
            hard.append(labels[0])
            votes.append(labels[1])
            for modality, array in m.dialogue.features.items():
                vectors[modality].append(array[row])
    if not ids:
        raise ValueError(f"{where}: no utterance is annotated")
    if len(set(ids)) < len(ids):
        raise ValueError(f"{where}: an utterance id is in two dialogues")
    values = {name: np.stack(rows)[:, None] for name, rows in vectors.items()}
    return _Rows(ids, values, None, np.stack(hard), np.stack(votes).astype(np.float32))
