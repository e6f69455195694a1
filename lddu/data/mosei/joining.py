"""Emotion labels for files without any: from the SDK's labels file, by id, and confirmed."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lddu.data.card import Findings
from lddu.data.mosei.labels import intensities
from lddu.data.mosei.readers.csd import read_labels
from lddu.data.mosei.readers.rows import Rows

_SENTIMENT = 1e-3  # largest difference of two equal sentiments
_SECONDS = 0.01  # largest difference of two equal times
_MOST_LOST = 0.05  # share of a split that need not fit
_UNKNOWN, _COUNT, _NONE, _DIFFERS = (
    "its video is not in the labels",
    "its video has another number of segments, and sentiment does not confirm the order",
    "its segment is not in the labels",
    "its sentiment differs",
)


def by_id(
    rows: Mapping[str, Rows], path: Path, findings: Findings
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Looks up the labels of each sample in the labels file.

    The clips of a video are numbered in the order of their names as text, and the k-th is segment
    k. A sample that does not fit is dropped and counted, never guessed.

    Args:
      rows: Split -> samples with ids.
      path: `CMU_MOSEI_Labels.csd`.
      findings: Collects what does not fit.

    Returns:
      Split -> numbers of the rows that fit; split -> (those, 6) intensities.

    Raises:
      ValueError: If ids are missing, or more than 5 % of a split do not fit: then it is another
        file, or its rows are in another order.
    """
    labels, intervals = read_labels(path)
    places, reasons = _places(rows, labels, intervals, path)
    kept, emotions = {}, {}
    for split, part in rows.items():
        lost = [i for i, reason in enumerate(reasons[split]) if reason]
        _report(part, lost, reasons[split], path, findings)
        kept[split] = np.setdiff1d(np.arange(part.size), lost)
        ids, place = part.ids, places[split]
        chosen = [(ids.videos[i], place[i]) for i in kept[split]]
        emotions[split] = intensities(
            np.array([labels[video][k, 1:] for video, k in chosen]).reshape(-1, 6),
            lambda i, chosen=chosen: "segment {1} of {0!r}".format(*chosen[i]),
            f"{path.name} for {part.where}",
            findings,
        )
    return kept, emotions


def _places(
    rows: Mapping[str, Rows],
    labels: Mapping[str, np.ndarray],
    intervals: Mapping[str, np.ndarray],
    path: Path,
) -> tuple[dict[str, list[int]], dict[str, list[str]]]:
    """Returns split -> segment of each sample, and split -> why it does not fit, or ""."""
    clips = _clip_numbers(rows)
    places, reasons = {}, {}
    members = defaultdict(list)
    for split, part in rows.items():
        ids, sentiment = part.ids, part.sentiment
        if ids is None or ids.kind == "other":
            example = f", such as {ids.names[0]!r:.60}" if ids else ""
            raise ValueError(
                f"{part.where}: its ids{example} do not say which segment of {path.name} a sample "
                "is; expected video$_$clip, video[k] or (video, start, end)"
            )
        if ids.kind == "clip" and sentiment is None:
            raise ValueError(f"{part.where}: no sentiment to confirm the join with {path.name}")
        places[split], reasons[split] = [], []
        for i, (video, place) in enumerate(zip(ids.videos, ids.places, strict=True)):
            if video not in labels:
                k, reason = -1, _UNKNOWN
            else:
                k = _segment(ids.kind, place, clips.get(video, {}), intervals[video])
                reason = "" if 0 <= k < len(labels[video]) else _NONE
            if not reason and sentiment is not None:
                # A NaN never fits.
                fits = abs(sentiment[i] - labels[video][k, 0]) <= _SENTIMENT
                reason = "" if fits else _DIFFERS
            places[split].append(k)
            reasons[split].append(reason)
            members[video].append((split, i))
    for video, clip in clips.items():
        if video in labels:
            _doubt(members[video], reasons, len(clip) == len(labels[video]))
    return places, reasons


def _clip_numbers(rows: Mapping[str, Rows]) -> dict[str, dict[str, int]]:
    """Returns video -> clip -> its number among the video's clips, sorted as text."""
    clips = defaultdict(set)
    for part in rows.values():
        if part.ids and part.ids.kind == "clip":
            for video, clip in zip(part.ids.videos, part.ids.places, strict=True):
                clips[video].add(clip)
    return {v: {clip: k for k, clip in enumerate(sorted(names))} for v, names in clips.items()}


def _segment(kind: str, place: str | int | float, clips: dict, intervals: np.ndarray) -> int:
    if kind == "clip":
        return clips[place]
    if kind == "segment":
        return place
    near = np.flatnonzero(np.abs(intervals[:, 0] - place) <= _SECONDS)
    return int(near[0]) if len(near) == 1 else -1


def _doubt(members: list[tuple[str, int]], reasons: dict[str, list[str]], same_count: bool) -> None:
    """Rejects a whole video if its clips seem to be in another order than its segments.

    Sentiments take few values and agree by chance, so that a video of which most samples differ is
    rejected. A missing clip shifts all behind it: there a single sample that differs is enough.
    """
    wrong = [bool(reasons[split][i]) for split, i in members]
    if any(wrong) and (not same_count or sum(wrong) > len(wrong) / 2):
        for split, i in members:
            reasons[split][i] = _DIFFERS if same_count else _COUNT


def _report(
    rows: Rows, lost: list[int], reasons: list[str], path: Path, findings: Findings
) -> None:
    if not lost:
        return
    counts = Counter(reasons[i] for i in lost)
    why = "; ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    named = ", ".join(rows.ids.names[i] for i in lost[:3])
    if len(lost) > _MOST_LOST * rows.size:
        raise ValueError(
            f"{rows.where}: {len(lost)} of {rows.size} rows do not fit {path.name} ({why}), such "
            f"as {named}; at most {_MOST_LOST:.0%} may: another file, or rows in another order"
        )
    findings.repaired(f"{rows.where}: rows that do not fit {path.name}, dropped", len(lost))
    findings.warn(f"{rows.where}: {len(lost)} rows do not fit {path.name} ({why}), such as {named}")
