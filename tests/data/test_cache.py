import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from lddu.data.cache import cache_folder, cached, identity
from lddu.data.card import Card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.structs import Batch, Modality

CARD = Card("x", "y", "z", (), {}, {"mended": 3}, ("学",))


def dataset(value=1.0, allocate=None, soft=True):
    splits = []
    for name in SPLITS:
        values = np.full((3, 2, 4), value, np.float32)
        if allocate is not None:
            made = allocate(f"{name}.text", values.shape)
            made[:] = values
            values = made
        mask = np.array([[1, 1], [1, 0], [0, 0]], bool)
        batch = Batch(
            {"text": Modality(values, mask)}, {"text": mask.any(1)}, np.eye(3, dtype=np.float32)
        )
        ids = np.array([f"{name}-{i}" for i in range(3)])
        splits.append(Split(batch, ids, np.full((3, 3), 0.25, np.float32) if soft else None))
    return Dataset(*splits, labels=("a", "b", "c"), card=CARD)


def check_equal(found, expected):
    assert found.labels == expected.labels
    assert found.card == expected.card
    for name, split in expected.splits().items():
        other = found.splits()[name]
        np.testing.assert_array_equal(other.ids, split.ids)
        np.testing.assert_array_equal(other.batch.labels, split.batch.labels)
        assert (other.soft is None) == (split.soft is None)
        if split.soft is not None:
            np.testing.assert_array_equal(other.soft, split.soft)
        for modality, m in split.batch.modalities.items():
            np.testing.assert_array_equal(other.batch.modalities[modality].values, m.values)
            np.testing.assert_array_equal(other.batch.modalities[modality].mask, m.mask)
            np.testing.assert_array_equal(
                other.batch.present[modality], split.batch.present[modality]
            )


class Builder:
    """Counts how often it builds."""

    def __init__(self, allocates=True, **options):
        self.times, self.allocates, self.options = 0, allocates, options

    def __call__(self, allocate):
        self.times += 1
        return dataset(allocate=allocate if self.allocates else None, **self.options)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def entries(folder):
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("allocates", [True, False])
@pytest.mark.parametrize("soft", [True, False])
def test_a_hit_equals_the_build(cache, allocates, soft):
    build = Builder(allocates, soft=soft)
    first = cached({"k": 1}, build, cache)
    second = cached({"k": 1}, build, cache)
    assert build.times == 1
    check_equal(first, dataset(soft=soft))
    check_equal(second, dataset(soft=soft))
    assert isinstance(second.train.batch.modalities["text"].values, np.memmap)


def test_without_a_folder_it_builds_in_memory(tmp_path):
    build = Builder()
    check_equal(cached({}, build, None), dataset())
    cached({}, build, None)
    assert build.times == 2
    assert not list(tmp_path.iterdir())


def test_another_key_is_another_data_set(cache):
    one = cached({"k": 1}, Builder(value=1.0), cache)
    two = cached({"k": 2}, Builder(value=2.0), cache)
    check_equal(one, dataset(1.0))
    check_equal(two, dataset(2.0))
    check_equal(cached({"k": 1}, Builder(value=9.0), cache), dataset(1.0))


def test_a_changed_file_is_another_identity(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    first = identity(path)
    assert identity(path) == first
    json.dumps(first)
    os.utime(path, ns=(2, 2))
    assert identity(path) != first
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    assert identity(path) != first


FILES = sorted(
    ["dataset.json"]
    + [
        f"{s}.{f}.npy"
        for s in SPLITS
        for f in ("text.values", "text.mask", "labels", "ids", "soft")
    ]
)


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
@pytest.mark.parametrize("file", FILES)
def test_a_cut_cache_is_built_anew(cache, file, keep):
    build = Builder()
    cached({}, build, cache)
    path = entries(cache)[0] / file
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    check_equal(cached({}, build, cache), dataset())
    assert build.times == 2
    cached({}, build, cache)
    assert build.times == 2


@pytest.mark.parametrize("file", [f for f in FILES if "soft" not in f])
def test_a_cache_that_lacks_a_file_is_built_anew(cache, file):
    build = Builder()
    cached({}, build, cache)
    (entries(cache)[0] / file).unlink()
    check_equal(cached({}, build, cache), dataset())
    assert build.times == 2


def test_a_cache_that_lacks_its_soft_labels_is_not_taken_for_one_without(cache):
    build = Builder()
    cached({}, build, cache)
    (entries(cache)[0] / "train.soft.npy").unlink()
    check_equal(cached({}, build, cache), dataset())


@pytest.mark.parametrize("text", ["[]", "{}", "null", '{"labels": 3}', '{"card": {"a": 1}}'])
def test_a_cache_described_by_nonsense_is_built_anew(cache, text):
    cached({}, Builder(), cache)
    path = entries(cache)[0] / "dataset.json"
    content = json.loads(path.read_text())
    damaged = json.loads(text)
    merged = content | damaged if damaged and isinstance(damaged, dict) else damaged
    path.write_text(json.dumps(merged))
    check_equal(cached({}, Builder(), cache), dataset())


def test_a_failed_build_leaves_nothing(cache):
    def fail(allocate):
        allocate("train.text", (3, 2, 4))[:] = 1
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        cached({}, fail, cache)
    assert not list(cache.iterdir())
    check_equal(cached({}, Builder(), cache), dataset())


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_data_set(cache):
    script = textwrap.dedent(
        f"""
        import os, signal
        from lddu.data.cache import cached
        def build(allocate):
            allocate("train.text", (3, 2, 4))[:] = 1
            os.kill(os.getpid(), signal.SIGKILL)
        cached({{}}, build, {str(cache)!r})
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert list(cache.iterdir())
    build = Builder()
    check_equal(cached({}, build, cache), dataset())
    assert build.times == 1


def test_losing_a_race_takes_what_the_other_one_built(cache):
    def build(allocate):
        cached({}, Builder(value=2.0), cache)
        return dataset(1.0, allocate)

    check_equal(cached({}, build, cache), dataset(2.0))


def test_maps_that_are_not_the_allocated_ones_are_saved_whole(tmp_path, cache):
    source = np.lib.format.open_memmap(tmp_path / "s.npy", "w+", np.float32, (6, 2, 4))
    source[:] = 7.0

    def build(allocate):
        made = dataset(7.0, allocate)
        larger = allocate("valid.text", (6, 2, 4))
        larger[:] = 7.0
        made.train.batch.modalities["text"] = made.train.batch.modalities["text"].replace(
            values=source[:3]
        )
        made.valid.batch.modalities["text"] = made.valid.batch.modalities["text"].replace(
            values=larger[2:5]
        )
        return made

    check_equal(cached({}, build, cache), dataset(7.0))


def test_arrays_without_rows_are_kept(cache):
    def build(allocate):
        splits = []
        for name in SPLITS:
            mask = np.zeros((0, 2), bool)
            values = allocate(f"{name}.text", (0, 2, 4))
            batch = Batch({"text": Modality(values, mask)}, {"text": mask.any(1)}, np.zeros((0, 3)))
            splits.append(Split(batch, np.array([], str)))
        return Dataset(*splits, labels=("a", "b", "c"), card=CARD)

    found = cached({}, build, cache)
    assert found.train.batch.modalities["text"].values.shape == (0, 2, 4)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LDDU_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    monkeypatch.delenv("LDDU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lddu" / "datasets"


def test_groups_and_weights_are_kept(tmp_path):
    def build(allocate):
        train = dataset().train
        weight = np.array([1, 0.5, 2], np.float32)
        batch, groups = train.batch.replace(weight=weight), np.array(["f", "f", "g"])
        split = Split(batch, train.ids, train.soft, groups)
        return Dataset(split, split, split, labels=("a", "b", "c"), card=CARD)

    cached({"x": 1}, build, tmp_path)
    again = cached({"x": 1}, None, tmp_path)
    np.testing.assert_array_equal(again.train.groups, ["f", "f", "g"])
    np.testing.assert_array_equal(again.test.batch.weight, [1, 0.5, 2])
