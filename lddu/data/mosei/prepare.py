"""From `Rows` to a `Split`: the side of the padding, empty samples, true lengths, unique ids."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from lddu.data.cache import Allocate
from lddu.data.card import Findings
from lddu.data.cleaning import Side, clean
from lddu.data.dataset import Split
from lddu.data.mosei.labels import hard, soft
from lddu.data.mosei.published import MODALITIES, WIDTHS
from lddu.data.mosei.readers.rows import Rows, Values
from lddu.structs import Batch

_CHUNK = 1024
# A side counts as padded if this share of the samples has zeros there, and twice that of the other.
_SHARE, _TIMES = 0.05, 2


class Edges:
    """The samples that begin or end with a step of zeros.

    Attributes:
      first: (N,) bool, whether the first step is zeros, or there is none.
      last: (N,) bool, whether the last step is zeros, or there is none.
    """

    def __init__(self, values: Values):
        if isinstance(values, np.ndarray):
            parts = [values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK)]
            self.first, self.last = (
                np.concatenate([_zero(part[:, end]) for part in parts]) for end in (0, -1)
            )
        elif isinstance(values[0], np.ndarray):
            ends = [_zero(np.asarray(row)[[0, -1]]) if len(row) else (True, True) for row in values]
            self.first, self.last = np.array(ends, bool).T
        else:  # features that are computed when they are read have no padding
            self.first = self.last = np.array([row.shape[0] == 0 for row in values])

    def side(self) -> Side | None:
        """Returns the side on which zeros are padding; None if the samples do not tell."""
        start = np.mean(self.first & ~self.last)
        end = np.mean(self.last & ~self.first)
        if start > max(_SHARE, _TIMES * end):
            return "start"
        return "end" if end > max(_SHARE, _TIMES * start) else None


def _zero(steps: np.ndarray) -> np.ndarray:
    """Returns (N,) whether a step of (N, D) has only zeros and values that are not finite."""
    return ~((steps != 0) & np.isfinite(steps)).any(-1)


def padding(rows: Mapping[str, Rows], edges: Mapping, findings: Findings) -> dict[str, Side]:
    """Decides on which side each modality is padded: as its layout says, unless the data differ.

    Args:
      rows: Split -> samples; the training split decides.
      edges: Split -> modality -> `Edges`.
      findings: Collects a warning if the data differ from the layout.

    Returns:
      Modality -> side of its padding.
    """
    sides = {}
    for name in MODALITIES:
        declared = rows["train"].padded
        seen = edges["train"][name].side()
        sides[name] = seen or declared or "end"
        if declared and seen not in (None, declared):
            findings.warn(
                f"{rows['train'].where} {rows['train'].keys[name]!r}: zeros at the {seen} of the "
                f"sequences, where this layout has them at the {declared}; taken as padding"
            )
    return sides


def not_empty(rows: Rows, edges: Mapping[str, Edges], kept: np.ndarray) -> np.ndarray:
    """Returns the kept rows that have a step in any modality.

    Only samples that begin and end with zeros in all modalities are read as a whole.

    Args:
      rows: The samples of a split.
      edges: Modality -> `Edges`.
      kept: (n,) numbers of the rows to choose from.
    """
    doubtful = kept
    for name in MODALITIES:
        both = edges[name].first & edges[name].last
        if name in rows.lengths:
            both = both | (rows.lengths[name] == 0)
        doubtful = doubtful[both[doubtful]]
    empty = [i for i in doubtful if all(_is_empty(rows, name, i) for name in MODALITIES)]
    return np.setdiff1d(kept, empty)


def _is_empty(rows: Rows, name: str, row: int) -> bool:
    if name in rows.lengths and rows.lengths[name][row] == 0:
        return True
    return bool(_zero(np.asarray(rows.modalities[name][row])).all())


def split_of(
    rows: Rows,
    split: str,
    kept: np.ndarray,
    emotions: np.ndarray,
    intensities: bool,
    sides: Mapping[str, Side],
    findings: Findings,
    allocate: Allocate,
) -> Split:
    """Cleans the features of the kept rows, and makes a `Split` of them.

    Args:
      rows: The samples.
      split: Name of the split.
      kept: (n,) numbers of the rows to keep.
      emotions: (n, 6) intensities, or zeros and ones.
      intensities: Whether `emotions` are intensities, which give soft labels.
      sides: Modality -> side of its padding.
      findings: Collects repairs and warnings.
      allocate: Makes the large arrays.
    """
    modalities = {}
    for name in MODALITIES:
        where = f"{rows.where} {rows.keys[name]!r}"
        modalities[name] = clean(
            rows.modalities[name],
            where,
            findings,
            lengths=rows.lengths.get(name),
            padded=sides[name],
            rows=kept,
            steps=rows.steps.get(name),
            allocate=allocate,
            name=f"{split}.{name}",
        )
        width = modalities[name].values.shape[-1]
        if width not in WIDTHS[name]:
            expected = " or ".join(map(str, WIDTHS[name]))
            findings.warn(f"{where}: {width} features, expected {expected}")
        if name == "text":  # only text, since the other modalities are often missing
            wordless = ~modalities[name].mask.any(1)
            findings.repaired(f"{where}: samples without words, kept", wordless.sum())
    present = {name: m.mask.any(1) for name, m in modalities.items()}
    batch = Batch(modalities, present, hard(emotions))
    return Split(batch, np.array(unique(rows, kept)), soft(emotions) if intensities else None)


def check_ids(rows: Mapping[str, Rows], findings: Findings) -> None:
    """Warns of repeated ids, and of videos in more than one split.

    Raises:
      ValueError: If a sample is in more than one split.
    """
    where: dict[str, str] = {}
    videos: dict[str, set[str]] = {}
    for split, part in rows.items():
        names = Counter(part.names())
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            findings.warn(
                f"{part.where}: {len(twice)} ids come more than once, such as {twice[0]!r}"
            )
        for name in names:
            if where.setdefault(name, split) != split:
                raise ValueError(
                    f"{part.where}: sample {name!r} is in {where[name]} too, so that its score "
                    "would not be a test; remove it from one split"
                )
        for video in part.ids.videos if part.ids else ():
            videos.setdefault(video, set()).add(split)
    shared = [video for video, splits in videos.items() if len(splits) > 1]
    if shared:
        findings.warn(f"{len(shared)} videos are in more than one split, such as {shared[0]!r}")


def unique(rows: Rows, kept: np.ndarray) -> list[str]:
    """Returns the ids of the kept rows; a repeated one gets a number, as in "id #2"."""
    names, seen = rows.names(), Counter()
    out = []
    for i in kept:
        seen[names[i]] += 1
        count = seen[names[i]]
        out.append(names[i] if count == 1 else f"{names[i]} #{count}")
    return out
