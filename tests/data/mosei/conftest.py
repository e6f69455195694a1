"""A small invented CMU-MOSEI, and writers that put it into each published layout."""

import argparse
import json
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

WIDTHS = {"text": 300, "audio": 74, "vision": 35}
# Video -> its number of segments. More than 10, so that names sort otherwise than numbers.
VIDEOS = {
    "train": {"alpha": 12, "-b_c": 13, "12345": 15},
    "valid": {"delta": 12},
    "test": {"epsilon": 11},
}
STEPS = {"aligned": (9, 9, 9), "unaligned": (9, 14, 12)}
SECONDS = 5.0  # of a segment


class World:
    """The truth: for each split a list of segments, in the order of video and time.

    Attributes:
      segments: Split -> [(video, k)].
      sentiment: (video, k) -> number.
      intensities: (video, k) -> (6,).
      features: (setting, modality, video, k) -> (steps, width), with true steps only.
    """

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.segments = {
            split: [(v, k) for v, n in videos.items() for k in range(n)]
            for split, videos in VIDEOS.items()
        }
        self.sentiment, self.intensities, self.features = {}, {}, {}
        keys = [key for keys in self.segments.values() for key in keys]
        # Further apart than two sentiments that count as equal.
        sentiments = rng.permutation(np.linspace(-3, 3, len(keys)))
        for key, sentiment in zip(keys, sentiments.tolist(), strict=True):
            self.sentiment[key] = sentiment
            levels = rng.integers(0, 10, 6) / 3
            self.intensities[key] = np.where(rng.random(6) < 0.5, 0, levels)
            for setting, steps in STEPS.items():
                together = rng.integers(1, steps[0] + 1)
                for (name, width), most in zip(WIDTHS.items(), steps, strict=True):
                    count = together if setting == "aligned" else rng.integers(1, most + 1)
                    values = rng.normal(size=(count, width)).astype(np.float32)
                    self.features[setting, name, *key] = values

    def labels(self, split: str) -> np.ndarray:
        """(N, 6) intensities in the order of `segments`."""
        return np.array([self.intensities[key] for key in self.segments[split]])

    def padded(
        self, split: str, setting: str, name: str, keys: list | None = None, start: bool = False
    ) -> np.ndarray:
        """(N, T, D), with zeros at the end or the start."""
        keys = self.segments[split] if keys is None else keys
        most = STEPS[setting][list(WIDTHS).index(name)]
        out = np.zeros((len(keys), most, WIDTHS[name]), np.float32)
        for row, key in zip(out, keys, strict=True):
            values = self.features[setting, name, *key]
            row[slice(-len(values), None) if start else slice(len(values))] = values
        return out


def clips(count: int) -> list[str]:
    """Names of a video's clips in the order of numbers; segment k is the k-th of them as text."""
    return [str(3 * i) for i in range(count)]


def clip_rows(world: World, split: str) -> tuple[list[str], list[tuple[str, int]]]:
    """MMSA's ids of a split, in the order of numbers, and which segment each is."""
    ids, keys = [], []
    for video, count in VIDEOS[split].items():
        names = clips(count)
        for name in names:
            ids.append(f"{video}$_${name}")
            keys.append((video, sorted(names).index(name)))
    return ids, keys


def codes(intensities: np.ndarray) -> list[int]:
    return [2, *(4 + int(k) for k in np.flatnonzero(intensities)), 3]


def mmsa(world: World, setting: str) -> dict:
    """Content of MMSA's pickle."""
    content = {}
    for split in VIDEOS:
        ids, keys = clip_rows(world, split)
        count = {
            name: [len(world.features[setting, name, *key]) for key in keys] for name in WIDTHS
        }
        mask = np.arange(STEPS[setting][0]) < np.array(count["text"])[:, None]
        sentiment = np.array([world.sentiment[key] for key in keys], np.float32)
        part = {name: world.padded(split, setting, name, keys) for name in WIDTHS}
        part |= {
            "raw_text": np.array(["words"] * len(ids)),
            "text_bert": np.stack([mask * 7, mask, mask * 0], 1).astype(np.float32),
            "id": ids,
            "regression_labels": sentiment,
            "classification_labels": np.sign(sentiment),
            "annotations": ["Neutral"] * len(ids),
        }
        if setting == "unaligned":
            part |= {f"{name}_lengths": count[name] for name in ("audio", "vision")}
        content[split] = part
    return content


def lddu(world: World, setting: str) -> dict:
    """MMSA's with the emotions as codes."""
    content = mmsa(world, setting)
    for split, part in content.items():
        part["tgt"] = [codes(world.intensities[key]) for key in clip_rows(world, split)[1]]
    return content


def tailor(world: World, as_lists: bool = True) -> dict:
    """Content of TAILOR's train_valid_test.pt."""
    keys = {"text": "src-text", "audio": "src-audio", "vision": "src-visual"}
    content: dict[str, Any] = {
        "settings": argparse.Namespace(max_text_seq_len=60, keep_case=False),
        "dict": {"src": {"<blank>": 0}, "tgt": {"happy": 4}},
    }
    for split, found in world.segments.items():
        part = {key: world.padded(split, "aligned", name) for name, key in keys.items()}
        part = {key: list(values) if as_lists else values for key, values in part.items()}
        part["tgt"] = [codes(world.intensities[key]) for key in found]
        content[split] = part
    return content


def plain(world: World, setting: str, ids: str, emotions: bool) -> dict:
    """MultiBench's (aligned, "segment") or MulT's (unaligned, "interval"): padded at the start."""
    content = {}
    for split, found in world.segments.items():
        part = {name: world.padded(split, setting, name, start=True) for name in WIDTHS}
        labels = np.array([[world.sentiment[key]] for key in found])
        if emotions:
            labels = np.concatenate([labels, world.labels(split)], 1)
        part["labels"] = labels[:, None].astype(np.float32)
        if ids == "segment":
            part["id"] = np.array([f"{video}[{k}]" for video, k in found])
        if ids == "interval":
            times = [(k * SECONDS + 0.004, (k + 1) * SECONDS) for _, k in found]
            part["id"] = np.array(
                [[v, f"{a:.3f}", f"{b}"] for (v, _), (a, b) in zip(found, times, strict=True)], "S"
            )
        content[split] = part
    return content


def csd(path: Path, root: str, videos: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    """A computational sequence: video -> (intervals, features)."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for video, (intervals, features) in videos.items():
            group = file.create_group(f"{root}/data/{video}")
            group["intervals"] = np.asarray(intervals, np.float32)
            group["features"] = np.asarray(features, np.float32)
        file[f"{root}/metadata/root name"] = [json.dumps(root).encode()]
    return path


def labels_csd(world: World, folder: Path, change: Callable | None = None) -> Path:
    """CMU_MOSEI_Labels.csd; `change` gets video -> (intervals, values) before it is written."""
    videos = {}
    for video, count in {v: n for part in VIDEOS.values() for v, n in part.items()}.items():
        starts = np.arange(count) * SECONDS
        values = [[world.sentiment[video, k], *world.intensities[video, k]] for k in range(count)]
        videos[video] = (np.stack([starts, starts + SECONDS], 1), np.array(values))
    if change:
        change(videos)
    return csd(folder / "CMU_MOSEI_Labels.csd", "All Labels", videos)


def pickled(content: Any, path: Path) -> Path:
    path.write_bytes(pickle.dumps(content, 4))
    return path


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The writers above."""
    return SimpleNamespace(
        mmsa=mmsa,
        lddu=lddu,
        tailor=tailor,
        plain=plain,
        csd=csd,
        labels_csd=labels_csd,
        pickled=pickled,
        clip_rows=clip_rows,
        codes=codes,
    )


@pytest.fixture(scope="session")
def check() -> Callable:
    """Compares a loaded data set with the world: order, arrays, masks, labels, soft labels."""

    def compare(data, world, setting, keys=None, soft=True) -> None:
        for split, found in data.splits().items():
            wanted = world.segments[split] if keys is None else keys[split]
            for name, modality in found.batch.modalities.items():
                expected = world.padded(split, setting, name, wanted)
                lengths = [len(world.features[setting, name, *key]) for key in wanted]
                np.testing.assert_array_equal(modality.values, expected)
                np.testing.assert_array_equal(modality.mask.sum(1), lengths)
                assert (np.diff(modality.mask.astype(int), axis=1) <= 0).all()
                assert found.batch.present[name].all()
            levels = np.array([world.intensities[key] for key in wanted])
            np.testing.assert_array_equal(found.batch.labels, levels > 0)
            assert found.batch.labels.dtype == np.float32
            assert len(set(found.ids)) == len(wanted)
            if soft:
                np.testing.assert_allclose(found.soft, np.minimum(levels / 3, 1), atol=1e-6)
            else:
                assert found.soft is None

    return compare
