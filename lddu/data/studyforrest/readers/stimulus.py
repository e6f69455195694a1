"""Sound and picture of the film: per-frame measurements at 25 Hz, summarised at 5 Hz."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lddu.data.studyforrest.readers import tables
from lddu.data.studyforrest.windows import FILM_SECONDS

FRAME_RATE = 25
STEP_RATE = 5
# Start of each segment on the film clock. Segments overlap; the later one counts from its start.
SEGMENT_STARTS = (0.0, 886.0, 1752.08, 2612.16, 3572.2, 4480.28, 5342.36, 6410.44)

AUDIO_NAMES = ("logrms_mean", "logrms_max", "logrms_std", "lrdiff_mean", "lrdiff_abs")
VISION_NAMES = ("bright_mean", "bright_lr", "bright_ud", "normdiff_mean", "normdiff_max")
HASH_BITS = 144
_SILENCE = 1e-5  # added to the loudness, so that silence has a logarithm
_BRIGHTNESS = 128  # brightness and its differences are divided by this


def audio(root: Path, start: np.ndarray, seconds: float) -> np.ndarray:
    """Computes loudness and left-right difference in each window.

    Args:
      root: The folder of the raw files.
      start: (N,) film time in seconds at which each window begins, on a frame.
      seconds: Length of every window.

    Returns:
      (N, T, 5) float32, 5 steps per second, with the features `AUDIO_NAMES`: over the five frames
      of a step, mean, maximum and (population) standard deviation of log(rms + 1e-5), mean of the
      left-right difference, and mean of its absolute value.

    Raises:
      ValueError: If a file is malformed or cut short, naming file, line and column.
    """
    frames = _film(root, "audio", ("rms", "lrdiff"))
    steps = _steps(frames["rms"], frames["lrdiff"], start=start, seconds=seconds)
    loudness, difference = np.log(steps[..., 0] + _SILENCE), steps[..., 1]
    features = (
        loudness.mean(2),
        loudness.max(2),
        loudness.std(2),
        difference.mean(2),
        np.abs(difference).mean(2),
    )
    return np.stack(features, axis=-1).astype(np.float32)


def vision(root: Path, start: np.ndarray, seconds: float) -> np.ndarray:
    """Computes brightness, change and perceptual hash in each window.

    Args:
      root: The folder of the raw files.
      start: (N,) film time in seconds at which each window begins, on a frame.
      seconds: Length of every window.

    Returns:
      (N, T, 149) float32, 5 steps per second: the features `VISION_NAMES` (over the five frames of
      a step, means of brightness and of its left-right and up-down differences, each divided by
      128, then mean and maximum of the normalised difference between frames), then the 144 bits of
      the perceptual hash of the step's first frame, most significant first.

    Raises:
      ValueError: If a file is malformed or cut short, naming file, line and column.
    """
    names = ("brmean", "brlr", "brud", "norm_diff")
    frames = _film(root, "visual", (*names, "phash"))
    steps = _steps(*(frames[name] for name in names), start=start, seconds=seconds)
    brightness = steps[..., :3].mean(2) / _BRIGHTNESS
    change = np.stack((steps[..., 3].mean(2), steps[..., 3].max(2)), axis=-1)
    first = _frame_index(start, seconds)[:, :, 0]
    bits = np.unpackbits(frames["phash"][first], axis=-1)
    return np.concatenate((brightness, change, bits), axis=-1, dtype=np.float32)


def _film(root: Path, kind: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads columns of the eight segments on one film clock: name -> (frames, ...) array."""
    bounds = [round(t * FRAME_RATE) for t in (*SEGMENT_STARTS, FILM_SECONDS)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for k in range(len(SEGMENT_STARTS)):
        path = root / "segments" / "avmovie" / f"conf_{kind}_run-{k + 1}_events.tsv"
        frames = bounds[k + 1] - bounds[k]
        for name, values in _segment(path, columns, frames).items():
            parts[name].append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _segment(path: Path, columns: Sequence[str], frames: int) -> dict[str, np.ndarray]:
    """Reads the first `frames` frames of one segment."""
    table = tables.read(path, ("onset", *columns), delimiter="\t")
    onset = tables.numbers(path, table, "onset")
    late = np.flatnonzero(np.abs(onset - np.arange(len(onset)) / FRAME_RATE) > 1e-3)
    if len(late):
        expected = late[0] / FRAME_RATE
        raise tables.fault(
            path,
            int(late[0]),
            "onset",
            f"{onset[late[0]]}, expected {expected} for frame {late[0]}",
        )
    if len(onset) < frames:
        raise ValueError(f"{path}: {len(onset)} frames, but the segment needs {frames}; cut short?")
    return {
        name: (_hashes(path, table) if name == "phash" else tables.numbers(path, table, name))[
            :frames
        ]
        for name in columns
    }


def _hashes(path: Path, table: dict[str, list[str]]) -> np.ndarray:
    """Returns (frames, 18) bytes of the hexadecimal perceptual hashes."""
    fields = table["phash"]
    width = HASH_BITS // 4
    for row, field in enumerate(fields):
        if len(field) != width or not _HEXADECIMAL.issuperset(field):
            raise tables.fault(path, row, "phash", f"{field!r} is not {width} hexadecimal digits")
    return np.frombuffer(bytes.fromhex("".join(fields)), np.uint8).reshape(-1, HASH_BITS // 8)


_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


def _steps(*columns: np.ndarray, start: np.ndarray, seconds: float) -> np.ndarray:
    """Gathers (N, T, frames per step, columns): the frames of each step of each window."""
    return np.stack(columns, axis=-1)[_frame_index(start, seconds)]


def _frame_index(start: np.ndarray, seconds: float) -> np.ndarray:
    """Returns (N, T, frames per step) numbers of the frames of each step of each window."""
    per_step = FRAME_RATE // STEP_RATE
    offsets = np.arange(round(seconds * FRAME_RATE)).reshape(-1, per_step)
    return np.rint(start * FRAME_RATE).astype(int)[:, None, None] + offsets
