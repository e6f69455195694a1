"""TFDS builders: what goes in comes out, without TensorFlow."""

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lddu.data import mosei, studyforrest, take, tfds
from lddu.data.card import Findings, make_card
from lddu.data.dataset import Dataset, Split
from lddu.data.tfds.base import Builder, Config


@pytest.fixture(scope="module")
def dataset(tiny_data):
    splits, config = {}, tiny_data[0].config
    for name, drawn in zip(("train", "valid", "test"), tiny_data, strict=True):
        ids = np.array([f"{name} ä {i}" for i in range(drawn.batch.size)])
        splits[name] = Split(drawn.batch, ids, np.clip(drawn.batch.labels, 0.1, 0.9))
    batches = {name: split.batch for name, split in splits.items()}
    card = make_card("made", "drawn", "labels", (), batches, config.labels, {}, Findings())
    return Dataset(**splits, labels=config.labels, card=card)


class Made(Builder, skip_registration=True):
    """A builder for a data set in memory."""

    LABELS = ("joy", "sadness", "anger", "surprise")
    BUILDER_CONFIGS = [  # noqa: RUF012
        Config(name="full", widths={"text": 8, "audio": 6, "vision": 10}),
        Config(name="narrow", widths={"text": 8, "audio": 6, "vision": 9}),
    ]
    dataset = None

    def load(self, folder):
        return type(self).dataset


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    Made.dataset = dataset
    folder = tmp_path_factory.mktemp("tfds")
    builder = Made(config="full", data_dir=folder)
    tfds.prepare(builder)
    return builder


def assert_equal(found, want):
    assert found.labels == want.labels
    assert found.card == want.card
    for name, split in want.splits().items():
        other = found.splits()[name]
        np.testing.assert_array_equal(other.ids, split.ids)
        np.testing.assert_array_equal(other.soft, split.soft)
        np.testing.assert_array_equal(other.batch.labels, split.batch.labels)
        for m in split.batch.modalities:
            mask = split.batch.effective_mask(m)
            np.testing.assert_array_equal(other.batch.effective_mask(m).sum(1), mask.sum(1))
            a, b = other.batch.modalities[m], split.batch.modalities[m]
            np.testing.assert_array_equal(a.values[a.mask], b.values[mask])


def test_a_data_set_comes_back(prepared, dataset):
    assert_equal(tfds.read(prepared, progress=False), dataset)
    # Also from a builder that finds the records on disk.
    again = Made(config="full", data_dir=prepared._data_dir_root)
    assert_equal(tfds.read(again, progress=False), dataset)


def test_examples_are_read_one_by_one_and_by_slice(prepared, dataset):
    source = prepared.as_data_source(split="train")
    assert len(source) == dataset.train.batch.size
    example = source[7]
    assert example["id"].decode() == dataset.train.ids[7]
    length = int(dataset.train.batch.effective_mask("text")[7].sum())
    assert example["text"].shape == (length, 8)
    assert len(prepared.as_data_source(split="train[:50%]")) == len(source) // 2
    np.testing.assert_array_equal(
        [e["labels"] for e in source.__getitems__([3, 1])], dataset.train.batch.labels[[3, 1]]
    )


def test_mistakes_say_what_to_do(dataset, tmp_path):
    Made.dataset = dataset
    with pytest.raises(ValueError, match=r"made/narrow is for features .*'vision': 9.*these files"):
        tfds.prepare(Made(config="narrow", data_dir=tmp_path))
    with pytest.raises(FileNotFoundError, match=r"manual_dir .* is not a folder"):
        tfds.prepare(Made(config="full", data_dir=tmp_path), tmp_path / "nowhere")
    with pytest.raises(ValueError, match="made/full is not prepared yet"):
        tfds.read(Made(config="full", data_dir=tmp_path / "empty"))
    with pytest.raises(AssertionError, match=r"CMU_MOSEI_Labels\.csd"):
        tfds.prepare(tfds.CmuMosei(config="aligned", data_dir=tmp_path / "mosei"))


def test_configurations():
    names = {b: set(b.builder_configs) for b in (tfds.CmuMosei, tfds.M3ed)}
    assert names[tfds.CmuMosei] >= {"aligned", "unaligned"}
    assert names[tfds.M3ed] == {"dialogue", "utterance"}
    assert set(tfds.Studyforrest.builder_configs) == {f"fold_{i}" for i in range(5)}


def test_tensorflow_is_not_imported():
    code = "import sys, lddu.data.tfds; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_studyforrest_asks_for_its_fold(data_folder, tmp_path, monkeypatch):
    """On the first rows of each split; the whole film comes below."""
    file = data_folder / "studyforrest" / "windows.npz"
    if not file.is_file():
        pytest.skip(f"needs the benchmark file {file}")
    asked, real = [], studyforrest.load

    def load(**options):
        asked.append(options)
        data = real(file, fold=options["fold"])
        few = {
            name: Split(take(split.batch, slice(5)), split.ids[:5], split.soft[:5])
            for name, split in data.splits().items()
        }
        return dataclasses.replace(data, **few)

    want = load(fold=2)
    monkeypatch.setattr(studyforrest, "load", load)
    builder = tfds.Studyforrest(config="fold_2", data_dir=tmp_path)
    tfds.prepare(builder)
    assert asked[1:] == [{"fold": 2, "text_dim": 96}]
    assert_equal(tfds.read(builder, progress=False), want)


@pytest.mark.slow
def test_studyforrest_from_its_files(data_folder, tmp_path):
    builder = tfds.Studyforrest(config="fold_4", data_dir=tmp_path)
    tfds.prepare(builder)
    dataset = tfds.read(builder, progress=False)
    assert [split.batch.size for split in dataset.splits().values()] == [2428, 348, 639]
    assert dataset.shapes() == {"text": (96, 48), "audio": (5, 20), "vision": (149, 20)}
    assert dataset.test.ids[0] == "961 s"


@pytest.mark.parametrize("setting", ["aligned", "unaligned"])
def test_mosei_from_files_of_its_form(setting, tmp_path, monkeypatch):
    monkeypatch.setenv("LDDU_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("tyro")
    script = runpy.run_path(str(Path(__file__).parents[3] / "experiments" / "generate_mosei.py"))
    sizes = {"train": 30, "valid": 10, "test": 10}
    script["main"](script["Args"](layout=f"mmsa-{setting}", out=tmp_path / "files", **sizes))
    builder = tfds.CmuMosei(config=setting, data_dir=tmp_path / "tfds")
    tfds.prepare(builder, tmp_path / "files")
    want = mosei.load(tmp_path / "files", setting=setting)
    assert want.train.batch.size > 20
    assert_equal(tfds.read(builder, progress=False), want)
