"""`load`: locates the files, joins the labels, cleans the features, keeps the result on disk."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lddu.data.cache import Allocate, cached, identity
from lddu.data.card import Findings, make_card, read_source
from lddu.data.dataset import SPLITS, Dataset
from lddu.data.formats import UnsafePickleError
from lddu.data.mosei import prepare
from lddu.data.mosei.label_sources import from_csds, joined
from lddu.data.mosei.labels import LABELS
from lddu.data.mosei.locating import Files, locate
from lddu.data.mosei.published import CHECKSUMS, MODALITIES, PUBLISHED
from lddu.data.mosei.readers import sdk
from lddu.data.mosei.readers.layouts import Content, read
from lddu.data.mosei.readers.rows import Rows

Setting = Literal["aligned", "unaligned"]

_VERSION = 1  # of the processing; part of the cache's key


def load(
    path: str | Path,
    *,
    setting: Setting = "aligned",
    labels: str | Path | None = None,
    folds: str | Path | None = None,
    cache: str | os.PathLike | bool | None = True,
    progress: bool = True,
) -> Dataset:
    """Loads CMU-MOSEI (Zadeh et al., ACL 2018) from any of its published file layouts.

    These are the files of TAILOR and CARAT, MulT, MMSA, LDDU and MultiBench, and the CMU SDK's
    `.csd` files. An emotion is present if its intensity is above 0. If the files have intensities,
    the soft label is min(intensity / 3, 1).

    Args:
      path: A file, or the folder of the files. A folder must have exactly one file of the wanted
        setting; its content decides, not its name.
      setting: "aligned" (all modalities have one step per word) or "unaligned" (each has its own
        steps).
      labels: File with the emotions, for layouts without them: the SDK's `CMU_MOSEI_Labels.csd`, or
        TAILOR's `train_valid_test.pt` for MulT's file. None searches the folder.
      folds: The official split by video, for `.csd` files: the SDK's `cmu_mosei_std_folds.py` or
        JSON {"train": [videos], "valid": [...], "test": [...]}. None searches the folder.
      cache: Folder in which the prepared arrays are kept. True takes
        `lddu.data.cache.cache_folder()`; False or None keeps nothing and holds all in memory.
      progress: Whether to show progress bars.

    Returns:
      The three splits, with a card that says what was read and repaired.

    Raises:
      FileNotFoundError: If a named file or folder does not exist.
      UnsafePickleError: If a file asks for more than data.
      ImportError: If h5py is needed and not installed.
      ValueError: If files are damaged, ambiguous or do not fit together, naming file and place.
    """
    if setting not in get_args(Setting):
        raise ValueError(f"setting={setting!r}; choose 'aligned' or 'unaligned'")
    path, labels, folds = (p if p is None else Path(p).expanduser() for p in (path, labels, folds))
    files = locate(path, setting, labels, folds)
    key = {
        "data set": "CMU-MOSEI",
        "version": _VERSION,
        "path": str(path.resolve()),
        "setting": setting,
        "labels": None if labels is None else str(labels.resolve()),
        "folds": None if folds is None else str(folds.resolve()),
        "files": [identity(file) for file in files.all()],
    }
    return cached(key, lambda allocate: _build(files, path, setting, allocate, progress), cache)


def _build(
    files: Files, path: Path, setting: Setting, allocate: Allocate, progress: bool
) -> Dataset:
    chosen = _choose(files, path, setting)
    labelled = from_csds(chosen, setting) if isinstance(chosen, Files) else joined(chosen, files)
    findings, rows = labelled.findings, labelled.rows
    prepare.check_ids(rows, findings)
    _same_widths(rows)
    edges = {
        split: {name: prepare.Edges(part.modalities[name]) for name in MODALITIES}
        for split, part in rows.items()
    }
    sides = prepare.padding(rows, edges, findings)
    splits = {}
    for split, part in rows.items():
        kept = prepare.not_empty(part, edges[split], labelled.kept[split])
        lost = len(labelled.kept[split]) - len(kept)
        findings.repaired(f"{part.where}: samples without any step at all, dropped", lost)
        if not len(kept):
            raise ValueError(f"{part.where}: all samples are without steps; is it the right file?")
        emotions = labelled.emotions[split][np.isin(labelled.kept[split], kept)]
        splits[split] = prepare.split_of(
            part, split, kept, emotions, labelled.intensities, sides, findings, allocate
        )
    sources = [read_source(file, CHECKSUMS, progress) for file in labelled.sources]
    for source in sources:
        if source.known_as is None and source.file in CHECKSUMS.values():
            findings.warn(f"{source.file} is not the file that was published under this name")
    card = make_card(
        "CMU-MOSEI",
        f"{labelled.layout}, {setting}",
        "utterances; six emotions, each present where its mean intensity is above 0",
        sources,
        {split: made.batch for split, made in splits.items()},
        LABELS,
        PUBLISHED,
        findings,
    )
    return Dataset(*(splits[split] for split in SPLITS), labels=LABELS, card=card)


def _choose(files: Files, path: Path, setting: Setting) -> Content | Files:
    """Returns the one file of the wanted setting, or the files themselves for `.csd` files.

    Raises:
      ValueError: If no file fits or more than one, listing the files.
    """
    if path.is_file():
        content = read(path)
        if content.setting != setting:
            raise ValueError(f"{path} is {content.setting}; pass setting={content.setting!r}")
        return content
    fitting, others, unsafe = [], [], []
    for file in files.data:
        try:
            content = read(file)
        except ValueError as error:
            if len(files.data) == 1 and not files.csds:
                raise
            others.append(str(error))
            unsafe += [error] if isinstance(error, UnsafePickleError) else []
            continue
        if content.setting == setting:
            fitting.append(content)
        else:
            others.append(f"{file.name} is {content.setting}")
    has_csds = len(files.csds) >= len(MODALITIES) and len(MODALITIES) == len(
        sdk.choose(files.csds, Findings())
    )
    names = [f"{content.path.name} ({content.layout})" for content in fitting]
    names += ["the .csd files"] if has_csds else []
    if len(names) == 1:
        return fitting[0] if fitting else files
    if names:
        raise ValueError(
            f"{path}: several {setting} data sets: {', '.join(names)}; pass one of these files, or "
            "a folder with only one of them"
        )
    if unsafe:
        raise unsafe[0]
    listed = ", ".join(file.name for file in files.all()) or "no files"
    reasons = "; ".join(others) or "none of them has features"
    raise ValueError(f"{path}: no {setting} data set. Of CMU-MOSEI there are {listed}: {reasons}")


def _same_widths(rows: Mapping[str, Rows]) -> None:
    """Raises ValueError unless a modality has the same width in all splits."""
    for name in MODALITIES:
        widths = {}
        for split, part in rows.items():
            values = part.modalities[name]
            widths[split] = np.shape(values if isinstance(values, np.ndarray) else values[0])[-1]
        if len(set(widths.values())) > 1:
            listed = ", ".join(f"{split} {width}" for split, width in widths.items())
            raise ValueError(
                f"{rows['train'].where.rpartition(' ')[0]} {rows['train'].keys[name]!r}: numbers "
                f"of features differ: {listed}"
            )
