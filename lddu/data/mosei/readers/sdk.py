"""A folder of the CMU SDK's `.csd` files: words, frames and segments, each with their times.

A segment of the labels file is a sample. Aligned samples are those of the SDK's own `align` with
averages: a step is a word, with the mean of the audio and vision frames that overlap it. The
published word vectors have no silences ("sp"), so neither has the result. Unaligned samples have
the frames that overlap the segment, averaged in equal bins if there are more than 500.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lddu.data.card import Findings
from lddu.data.dataset import SPLITS
from lddu.data.mosei.labels import intensities
from lddu.data.mosei.published import MODALITIES, WIDTHS
from lddu.data.mosei.readers import csd
from lddu.data.mosei.readers.ids import Ids
from lddu.data.mosei.readers.rows import Rows

MOST_WORDS = 50
MOST_FRAMES = 500
_EPSILON = 1e-5  # seconds that an overlap must exceed, as in the SDK
# In order of preference: the published features first.
_ROOTS = {"text": ("glove",), "audio": ("covarep",), "vision": ("facet", "openface")}


def choose(paths: Sequence[Path], findings: Findings) -> dict[str, Path]:
    """Chooses the file of each modality by its root, else by its number of features.

    Args:
      paths: The `.csd` files.
      findings: Collects a warning for each file that is not used.

    Returns:
      Modality -> file, for the modalities that have one.

    Raises:
      ValueError: If two files fit a modality equally well.
    """
    ranked: dict[str, list[tuple[int, Path]]] = {name: [] for name in MODALITIES}
    for path in paths:
        root, width = csd.peek(path)
        if root == csd.LABEL_ROOT:
            continue
        for name, roots in _ROOTS.items():
            rank = [i for i, part in enumerate(roots) if part in root.lower()]
            named = any(part in root.lower() for parts in _ROOTS.values() for part in parts)
            if rank or (not named and width in WIDTHS[name]):
                ranked[name].append((rank[0] if rank else len(roots), path))
    chosen = {}
    for name, candidates in ranked.items():
        candidates.sort()
        if len(candidates) > 1 and candidates[0][0] == candidates[1][0]:
            listed = ", ".join(path.name for _, path in candidates)
            raise ValueError(f"several .csd files for {name}: {listed}; keep one in the folder")
        if candidates:
            chosen[name] = candidates[0][1]
            for _, path in candidates[1:]:
                findings.warn(f"{path.name} was not used: {name} comes from {chosen[name].name}")
    return chosen


def read(
    paths: Mapping[str, Path],
    labels: Path,
    folds: Mapping[str, Sequence[str]],
    aligned: bool,
    findings: Findings,
) -> dict[str, Rows]:
    """Cuts videos into samples, whose features are computed when they are read.

    Args:
      paths: Modality -> its file.
      labels: The labels file.
      folds: Split -> videos.
      aligned: Whether steps are words in all modalities.
      findings: Collects what does not fit.

    Returns:
      Split -> samples.

    Raises:
      ValueError: If a file is damaged, or no video of a fold has labels.
    """
    targets, segments = csd.read_labels(labels)
    frames = {name: _Frames(csd.Sequence(path), findings) for name, path in paths.items()}
    known = {video for videos in folds.values() for video in videos}
    findings.repaired(
        f"{labels.name}: videos in no fold, left out", len([v for v in targets if v not in known])
    )
    rows = {}
    for split in SPLITS:
        videos = [video for video in folds[split] if video in targets]
        findings.repaired(
            f"{split}: videos without labels, left out", len(folds[split]) - len(videos)
        )
        places = [(video, k) for video in videos for k in range(len(targets[video]))]
        where = f"{labels.parent.name} {split}"
        if not places:
            raise ValueError(f"{where}: none of its {len(folds[split])} videos is in {labels.name}")
        names = [f"{video}[{k}]" for video, k in places]
        emotions = intensities(
            np.array([targets[video][k, 1:] for video, k in places]),
            lambda i, names=names: names[i],
            f"{labels.name} {split}",
            findings,
        )
        part = _rows(where, frames, [(v, segments[v][k]) for v, k in places], aligned)
        ids = Ids(names, "segment", [video for video, _ in places], [k for _, k in places])
        rows[split] = replace(part, ids=ids, emotions=emotions, intensities=True)
    return rows


def _rows(
    where: str,
    frames: Mapping[str, "_Frames"],
    segments: list[tuple[str, np.ndarray]],
    aligned: bool,
) -> Rows:
    text = frames["text"]
    words = [text.overlapping(video, segment) for video, segment in segments]
    modalities = {}
    for name, source in frames.items():
        if name == "text" or aligned:
            modalities[name] = [
                Words(source, video, text, numbers)
                for (video, _), numbers in zip(segments, words, strict=True)
            ]
        else:
            modalities[name] = [Bins(source, video, segment) for video, segment in segments]
    lengths = {name: np.array([len(numbers) for numbers in words]) for name in frames if aligned}
    keys = {name: source.sequence.path.name for name, source in frames.items()}
    steps = {name: MOST_WORDS for name in frames if aligned or name == "text"}
    return Rows(where, modalities, keys, lengths, "end", steps=steps)


class _Frames:
    """A computational sequence with its frames in order of time."""

    def __init__(self, sequence: csd.Sequence, findings: Findings):
        self.sequence = sequence
        self.intervals = sequence.intervals
        self._findings = findings
        self._sorted: dict[str, tuple[np.ndarray, ...]] = {}
        self._counted: set[str] = set()
        self._last: tuple[str, np.ndarray] | None = None

    def overlapping(self, video: str, interval: np.ndarray) -> np.ndarray:
        """Returns the numbers of the frames that share more than an instant with an interval."""
        if video not in self.intervals:
            return np.empty(0, np.int64)
        if video not in self._sorted:
            self._sorted[video] = _by_time(self.intervals[video])
        order, starts, ends, latest = self._sorted[video]
        low, high = interval[0] + _EPSILON, interval[1] - _EPSILON
        if not interval[1] - interval[0] > _EPSILON:
            return np.empty(0, np.int64)
        first = np.searchsorted(latest, low, "right")
        last = np.searchsorted(starts, high, "left")
        return order[first:last][ends[first:last] > low]

    def features(self, video: str) -> np.ndarray:
        """Returns (n, d) float32 features, finite so that averages spread no NaN or infinity."""
        if self._last is None or self._last[0] != video:
            values = np.array(self.sequence.features(video), np.float32)
            bad = ~np.isfinite(values)
            if bad.any():
                if video not in self._counted:
                    what = f"{self.sequence.path.name}: NaN or infinite set to 0"
                    self._findings.repaired(what, bad.sum())
                    self._counted.add(video)
                values[bad] = 0
            self._last = video, values
        return self._last[1]


def _by_time(intervals: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns frame numbers by start, their starts, their ends, and the latest end up to each."""
    starts, ends = intervals[:, 0], intervals[:, 1]
    # A comparison with NaN is false, which leaves such frames out.
    kept = np.flatnonzero(ends - starts > _EPSILON)
    order = kept[np.argsort(starts[kept], kind="stable")]
    ends = ends[order]
    return order, starts[order], ends, np.maximum.accumulate(ends) if len(ends) else ends


class Pooled(abc.ABC):
    """The features of one sample: a mean of frames at each step, computed when it is read.

    Attributes:
      shape: (steps, features).
    """

    def __init__(self, source: _Frames, video: str, steps: int):
        self._source, self._video = source, video
        self.shape = (steps, source.sequence.width)

    @abc.abstractmethod
    def _parts(self) -> Sequence[np.ndarray]:
        """Returns the numbers of the frames of each step."""

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Computes the features, (steps, features) float32 unless `dtype` says otherwise."""
        out = np.zeros(self.shape, np.float32)
        if self.shape[0] and self._video in self._source.intervals:
            values = self._source.features(self._video)
            for row, frames in zip(out, self._parts(), strict=True):
                if len(frames):
                    row[:] = values[frames].mean(0, dtype=np.float64)
        return out if dtype is None else out.astype(dtype)


class Words(Pooled):
    """Steps that are words: the word's own vector, or the mean of the frames that overlap it."""

    def __init__(self, source: _Frames, video: str, text: _Frames, words: np.ndarray):
        super().__init__(source, video, len(words))
        self._text, self._words = text, words

    def _parts(self) -> Sequence[np.ndarray]:
        if self._source is self._text:
            return self._words[:, None]
        intervals = self._text.intervals[self._video][self._words]
        return [self._source.overlapping(self._video, interval) for interval in intervals]


class Bins(Pooled):
    """Steps that are the frames of a segment, or 500 equal bins of neighbours if there are more."""

    def __init__(self, source: _Frames, video: str, segment: np.ndarray):
        super().__init__(source, video, min(len(source.overlapping(video, segment)), MOST_FRAMES))
        self._segment = segment

    def _parts(self) -> Sequence[np.ndarray]:
        frames = self._source.overlapping(self._video, self._segment)
        return np.array_split(frames, self.shape[0])
