"""Writes random files in the form of CMU-MOSEI's, to try the experiments without the data.

    python experiments/generate_mosei.py --layout mmsa-aligned --out runs/fake_mosei

The content is random, and says a little about its labels: each label shifts the mean of some
features. It has the traps of the real files: -inf in audio, sequences of all lengths, modalities
that are missing, clips whose names sort otherwise than their numbers. `--train 16326 --valid 1871
--test 4659` gives the real sizes, 4.4 GB (aligned) or 8 GB (unaligned).
"""

import argparse
import dataclasses
import pickle
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from lddu.data.mosei import LABELS, PUBLISHED

Layout = Literal["mmsa-aligned", "mmsa-unaligned", "lddu", "tailor", "multibench", "mult"]
# Share of the published training utterances with the label.
PREVALENCE = np.array([8735, 4269, 3526, 1642, 2955, 1331]) / PUBLISHED["train"]
# Layout -> file, (steps, features) of text, audio and vision.
FILES = {
    "mmsa-aligned": ("aligned_50.pkl", ((50, 768), (50, 74), (50, 35))),
    "mmsa-unaligned": ("unaligned_50.pkl", ((50, 768), (500, 74), (375, 35))),
    "lddu": ("aligned_501.pkl", ((50, 768), (50, 74), (50, 35))),
    "tailor": ("train_valid_test.pt", ((60, 300), (60, 74), (60, 35))),
    "multibench": ("mosei_raw.pkl", ((50, 300), (50, 74), (50, 35))),
    "mult": ("mosei_senti_data_noalign.pkl", ((50, 300), (500, 74), (500, 35))),
}
MODALITIES = ("text", "audio", "vision")
SECONDS = 7.0  # of a segment
CHUNK = 512
SHIFT = 0.02  # of a feature's mean, in standard deviations, where its label is present
MISSING = 0.02


@dataclasses.dataclass(frozen=True)
class Args:
    """Options.

    Attributes:
      layout: Whose file to write.
      train: Training utterances.
      valid: Validation utterances.
      test: Test utterances.
      seed: Of the content.
      out: Folder; files of the same names are replaced.
    """

    layout: Layout = "mmsa-aligned"
    train: int = 400
    valid: int = 80
    test: int = 80
    seed: int = 0
    out: Path = Path("runs/fake_mosei")


@dataclasses.dataclass(frozen=True)
class Samples:
    """The utterances of one split.

    Attributes:
      videos: (N,) names.
      segments: (N,) number in the video.
      counts: (N,) how many segments the video has.
      sentiment: (N,) in -3..3.
      intensities: (N, 6) in 0..3.
    """

    videos: np.ndarray
    segments: np.ndarray
    counts: np.ndarray
    sentiment: np.ndarray
    intensities: np.ndarray


def draw(split: str, count: int, rng: np.random.Generator) -> Samples:
    """Videos of 1 to 20 segments, and intensities that are means of three raters' 0..3."""
    sizes = rng.integers(1, 21, count)
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), count) + 1]
    sizes[-1] -= sizes.sum() - count  # the last video is cut to fit
    segments = np.concatenate([np.arange(n) for n in sizes])
    present = rng.random((count, len(LABELS))) < PREVALENCE
    thirds = 1 + rng.binomial(8, 0.2, present.shape)  # of 9: three raters of 0..3
    sentiment = np.clip(present @ [1, -0.8, -0.8, 0, -0.8, -0.6] + rng.normal(0, 1, count), -3, 3)
    return Samples(
        np.repeat([f"{split}{i:05d}" for i in range(len(sizes))], sizes),
        segments,
        np.repeat(sizes, sizes),
        np.rint(sentiment * 3).astype(np.float32) / 3,
        np.where(present, thirds / 3, 0).astype(np.float32),
    )


def features(
    samples: Samples,
    lengths: np.ndarray,
    shape: tuple[int, int],
    directions: np.ndarray,
    rng: np.random.Generator,
    start: bool,
    traps: bool,
) -> np.ndarray:
    """(N, T, D) float32: noise around a mean that the labels shift, zeros where there is no step.

    Args:
      samples: Whose labels shift the means.
      lengths: (N,) true steps; 0 where the modality is missing.
      shape: T and D.
      directions: (6, D) what each label adds.
      rng: The noise.
      start: Whether zeros come first.
      traps: Whether some values are -inf, as in COVAREP.
    """
    steps, width = shape
    out = np.empty((len(lengths), steps, width), np.float32)
    means = (samples.intensities > 0).astype(np.float32) @ directions
    at = np.arange(steps)[::-1] if start else np.arange(steps)
    for i in range(0, len(out), CHUNK):
        chunk = out[i : i + CHUNK]
        rng.standard_normal(out=chunk, dtype=np.float32)
        chunk += means[i : i + CHUNK, None]
        chunk *= (at < lengths[i : i + CHUNK, None])[..., None]
        if traps:
            chunk[:: CHUNK // 8, -1 if start else 0, : width // 10] = -np.inf
    return out


def clip_ids(samples: Samples) -> tuple[list[str], np.ndarray]:
    """MMSA's ids, and the order of the utterances by number: segment k is the k-th name as text."""
    names, order, first = [], [], 0
    while first < len(samples.videos):
        count = samples.counts[first]
        clips = sorted(str(3 * i + 1) for i in range(count))
        by_number = sorted(range(count), key=lambda k: int(clips[k]))
        names += [f"{samples.videos[first]}$_${clips[k]}" for k in by_number]
        order += [first + k for k in by_number]
        first += count
    return names, np.array(order)


def codes(samples: Samples) -> list[list[int]]:
    """The labels as TAILOR writes them."""
    return [[2, *(4 + int(k) for k in np.flatnonzero(row)), 3] for row in samples.intensities]


def take(samples: Samples, order: np.ndarray) -> Samples:
    """The utterances in another order."""
    return Samples(*(getattr(samples, f.name)[order] for f in dataclasses.fields(samples)))


class Late:
    """Pickled as the array that `make` returns, which exists only while it is written."""

    def __init__(self, make: Callable[[], np.ndarray]):
        self.make = make

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.make().__reduce_ex__(protocol)


def content_of(args: Args, split: str, samples: Samples, directions: list[np.ndarray]) -> dict:
    """What the file has for a split."""
    rng = np.random.default_rng([args.seed, *split.encode()])
    shapes = FILES[args.layout][1]
    count = len(samples.videos)
    mmsa = args.layout in ("mmsa-aligned", "mmsa-unaligned", "lddu")
    if mmsa:
        ids, order = clip_ids(samples)
        samples = take(samples, order)
    words = np.clip(rng.gamma(4, 5, count).astype(int), 1, shapes[0][0])
    aligned = len({steps for steps, _ in shapes}) == 1
    lengths = [words]
    for steps, _ in shapes[1:]:
        own = words if aligned else np.ceil(rng.uniform(0.05, 1, count) * steps).astype(int)
        lengths.append(np.where(rng.random(count) < MISSING, 0, own))
    start = args.layout in ("multibench", "mult")
    arrays = {
        name: partial(features, samples, *rest, rng, start, name == "audio")
        for name, *rest in zip(MODALITIES, lengths, shapes, directions, strict=True)
    }
    if args.layout == "tailor":
        keys = {"text": "src-text", "audio": "src-audio", "vision": "src-visual"}
        return {keys[name]: list(make()) for name, make in arrays.items()} | {"tgt": codes(samples)}
    content: dict[str, Any] = {name: Late(make) for name, make in arrays.items()}
    places = list(zip(samples.videos.tolist(), samples.segments.tolist(), strict=True))
    if mmsa:
        mask = np.arange(shapes[0][0]) < words[:, None]
        content |= {
            "raw_text": np.array(["nothing was said"] * count),
            "text_bert": np.stack([mask * 1000, mask, mask * 0], 1).astype(np.float32),
            "id": ids,
            "regression_labels": samples.sentiment,
            "classification_labels": np.sign(samples.sentiment),
            "annotations": ["Neutral"] * count,
        }
    if args.layout == "mmsa-unaligned":
        # The release has no 0: a sequence of one step of zeros is missing.
        content |= {
            f"{name}_lengths": np.maximum(true, 1).tolist()
            for name, true in zip(MODALITIES[1:], lengths[1:], strict=True)
        }
    if args.layout == "lddu":
        content["tgt"] = codes(samples)
    if args.layout == "multibench":
        both = np.concatenate([samples.sentiment[:, None], samples.intensities], 1)
        content |= {"labels": both[:, None], "id": [f"{video}[{k}]" for video, k in places]}
    if args.layout == "mult":
        times = [[video, f"{k * SECONDS}", f"{(k + 1) * SECONDS}"] for video, k in places]
        content |= {"labels": samples.sentiment[:, None, None], "id": np.array(times)}
    return content


def write_labels(path: Path, splits: dict[str, Samples]) -> None:
    """CMU_MOSEI_Labels.csd."""
    import h5py

    with h5py.File(path, "w") as file:
        data = file.create_group("All Labels/data")
        for samples in splits.values():
            values = np.concatenate([samples.sentiment[:, None], samples.intensities], 1)
            for first in np.flatnonzero(samples.segments == 0):
                rows = slice(first, first + samples.counts[first])
                starts = samples.segments[rows] * SECONDS
                group = data.create_group(samples.videos[first])
                group["intervals"] = np.stack([starts, starts + SECONDS], 1).astype(np.float32)
                group["features"] = values[rows]


def main(args: Args) -> None:
    """Writes the files."""
    began = time.perf_counter()
    name, shapes = FILES[args.layout]
    rng = np.random.default_rng(args.seed)
    directions = [
        SHIFT * rng.standard_normal((len(LABELS), width), dtype=np.float32) for _, width in shapes
    ]
    samples = {split: draw(split, getattr(args, split), rng) for split in PUBLISHED}
    content = {s: content_of(args, s, found, directions) for s, found in samples.items()}
    if args.layout == "tailor":
        content["settings"] = argparse.Namespace(max_text_seq_len=shapes[0][0])
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / name).open("wb") as file:
        pickler = pickle.Pickler(file, protocol=4)
        pickler.fast = True  # without a memo, which would keep every array until the end
        pickler.dump(content)
    written = [args.out / name]
    if args.layout in ("mmsa-aligned", "mmsa-unaligned", "mult"):
        written.append(args.out / "CMU_MOSEI_Labels.csd")
        write_labels(written[-1], samples)
    for path in written:
        print(f"{path}  {path.stat().st_size:,} bytes")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
