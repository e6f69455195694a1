"""The files of `experiments/generate_mosei.py` are read as what they imitate."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from lddu.data import mosei

SCRIPT = Path(__file__).parents[3] / "experiments" / "generate_mosei.py"
LAYOUTS = {
    "mmsa-aligned": ("MMSA, aligned", {"text": (768, 50), "audio": (74, 50), "vision": (35, 50)}),
    "mmsa-unaligned": (
        "MMSA, unaligned",
        {"text": (768, 50), "audio": (74, 500), "vision": (35, 375)},
    ),
    "lddu": ("LDDU, aligned", {"text": (768, 50), "audio": (74, 50), "vision": (35, 50)}),
    "tailor": ("TAILOR, aligned", {"text": (300, 60), "audio": (74, 60), "vision": (35, 60)}),
    "multibench": (
        "MultiBench, aligned",
        {"text": (300, 50), "audio": (74, 50), "vision": (35, 50)},
    ),
    "mult": ("MulT, unaligned", {"text": (300, 50), "audio": (74, 500), "vision": (35, 500)}),
}


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("tyro")
    spec = importlib.util.spec_from_file_location("generate_mosei", SCRIPT)
    module = sys.modules["generate_mosei"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["generate_mosei"]


@pytest.fixture(scope="module")
def written(script, tmp_path_factory):
    """Layout -> data set; written once."""
    made = {}

    def load(layout):
        if layout not in made:
            out = tmp_path_factory.mktemp(layout)
            script.main(script.Args(layout=layout, train=90, valid=30, test=20, out=out))
            setting = LAYOUTS[layout][0].split(", ")[1]
            made[layout] = mosei.load(out, setting=setting, cache=None, progress=False)
        return made[layout]

    return load


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_recognised(written, layout):
    data = written(layout)
    name, shapes = LAYOUTS[layout]
    assert data.card.layout == name
    assert data.shapes() == shapes
    assert [len(split.ids) for split in data.splits().values()] == [90, 30, 20]
    # The traps are in there.
    assert any("-inf set to 0" in what for what in data.card.repairs)
    lengths = data.train.batch.modalities["text"].mask.sum(1)
    assert len(set(lengths.tolist())) > 10
    assert not any("do not fit" in text for text in data.card.warnings)


def test_labels_by_id_are_the_labels_by_code(written):
    joined, coded = written("mmsa-aligned"), written("lddu")
    assert list(joined.train.ids) == list(coded.train.ids)
    np.testing.assert_array_equal(joined.train.batch.labels, coded.train.batch.labels)
    assert 0.1 < joined.train.batch.labels.mean() < 0.4


def test_the_features_say_something_about_the_labels(script, written):
    # The same directions separate the labels in another split.
    data = written("tailor")

    def pooled(split):
        text = split.batch.modalities["text"]
        return text.values.sum(1) / text.mask.sum(1, keepdims=True)

    train, labels = pooled(data.train), data.train.batch.labels[:, 0] > 0
    direction = script.SHIFT * np.random.default_rng(0).standard_normal((6, 300), np.float32)[0]
    scores = train @ direction
    assert scores[labels].mean() > scores[~labels].mean()
