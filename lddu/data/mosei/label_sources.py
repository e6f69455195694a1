"""Where labels come from: the feature file itself, another file, or the SDK's labels file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lddu.data.card import Findings
from lddu.data.mosei.joining import by_id
from lddu.data.mosei.locating import Files
from lddu.data.mosei.readers import csd, mult, sdk
from lddu.data.mosei.readers.layouts import Content, read
from lddu.data.mosei.readers.rows import Rows
from lddu.data.mosei.splits import NAMES, read_folds


@dataclass(frozen=True)
class Labelled:
    """Samples with their labels, in the same form for all layouts.

    Attributes:
      layout: Name of the layout.
      rows: Split -> samples.
      kept: Split -> (n,) numbers of the rows that have labels.
      emotions: Split -> (n, 6) intensities, or zeros and ones.
      intensities: Whether `emotions` are intensities.
      sources: The files that were read.
      findings: Repairs and warnings of reading them.
    """

    layout: str
    rows: Mapping[str, Rows]
    kept: Mapping[str, np.ndarray]
    emotions: Mapping[str, np.ndarray]
    intensities: bool
    sources: tuple[Path, ...]
    findings: Findings


def joined(content: Content, files: Files) -> Labelled:
    """Joins a feature file with its labels: its own, or those of one of the labels files.

    Args:
      content: The feature file.
      files: Where labels may be; a labels file that the caller named comes before the file's own.

    Raises:
      ValueError: If no labels fit, saying what to pass.
    """
    rows, findings = content.rows, content.findings
    everything = {split: np.arange(part.size) for split, part in rows.items()}
    own = {split: part.emotions for split, part in rows.items()}
    if all(emotions is not None for emotions in own.values()) and not files.named:
        graded = {part.intensities for part in rows.values()}
        return Labelled(
            content.layout, rows, everything, own, graded == {True}, (content.path,), findings
        )
    reasons = []
    for file in [file for file in files.labels if file.suffix != ".csd"]:
        if content.layout != "MulT":
            reasons.append(f"{file.name} labels MulT's file only: {content.layout} has other rows")
            continue
        try:
            emotions = mult.by_row_order(rows, _tailor(file), findings)
        except ValueError as error:
            reasons.append(str(error))
        else:
            sources = (content.path, file)
            return Labelled("MulT", rows, everything, emotions, False, sources, findings)
    for file in _labels_csd(files):
        if content.layout == "MulT" and not _has_ids(rows):
            reasons.append(f"{content.path.name} has no ids to look up in {file.name}")
            continue
        kept, emotions = by_id(rows, file, findings)
        sources = (content.path, file)
        return Labelled(content.layout, rows, kept, emotions, True, sources, findings)
    counts = ", ".join(f"{split} {part.size}" for split, part in rows.items())
    raise ValueError(
        f"{content.path} ({content.layout}: {counts} rows) has no emotion labels; pass "
        f"labels=CMU_MOSEI_Labels.csd of the CMU SDK"
        + (" or TAILOR's train_valid_test.pt" if content.layout == "MulT" else "")
        + (f". {'; '.join(reasons)}" if reasons else "")
    )


def _tailor(file: Path) -> Mapping[str, Rows]:
    content = read(file)
    if content.layout != "TAILOR":
        raise ValueError(f"{file} is a file of {content.layout}, expected TAILOR's")
    return content.rows


def _has_ids(rows: Mapping[str, Rows]) -> bool:
    return all(part.ids is not None and part.ids.kind != "other" for part in rows.values())


def _labels_csd(files: Files) -> list[Path]:
    """Returns the labels file among the `.csd` files; one that the caller named is not checked."""
    paths = [file for file in files.labels if file.suffix == ".csd"]
    if files.named:
        return paths
    labels = [file for file in paths if csd.peek(file)[0] == csd.LABEL_ROOT]
    if len(labels) > 1:
        listed = ", ".join(str(file) for file in labels)
        raise ValueError(f"several labels files: {listed}; pass one as labels=")
    return labels


def from_csds(files: Files, setting: str) -> Labelled:
    """Cuts the SDK's files into labelled samples.

    Args:
      files: The `.csd` files, the labels and the folds.
      setting: "aligned" or "unaligned".

    Raises:
      ValueError: If the labels or the folds are missing.
    """
    findings = Findings()
    paths = sdk.choose(files.csds, findings)
    labels = _labels_csd(files)
    if not labels:
        raise ValueError("no labels for the .csd files; pass labels=CMU_MOSEI_Labels.csd")
    if files.folds is None:
        raise ValueError(
            f"the .csd files have no split: pass folds=, the SDK's {NAMES[0]} or JSON with train, "
            "valid and test"
        )
    folds = read_folds(files.folds)
    rows = sdk.read(paths, labels[0], folds, setting == "aligned", findings)
    return Labelled(
        "CMU SDK",
        rows,
        {split: np.arange(part.size) for split, part in rows.items()},
        {split: part.emotions for split, part in rows.items()},
        True,
        (*paths.values(), labels[0], files.folds),
        findings,
    )
