"""The random files of experiments/generate_m3ed.py are files as the loader expects them."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from lddu.data import m3ed

SCRIPT = Path(__file__).parents[3] / "experiments" / "generate_m3ed.py"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    pytest.importorskip("tyro")
    script = runpy.run_path(str(SCRIPT))
    root = tmp_path_factory.mktemp("generated")
    for layout in ("pickle", "carat"):
        script["main"](script["Args"](dialogues=30, seed=3, layout=layout, out=root / layout))
    return root


def test_both_layouts_hold_the_same_dialogues(written):
    one = m3ed.load(written / "pickle", cache=None)
    other = m3ed.load(written / "carat", cache=None)
    assert sum(len(split.ids) for split in one.splits().values()) == 30
    for name, split in one.splits().items():
        np.testing.assert_array_equal(split.batch.labels, other.splits()[name].batch.labels)
        for modality, m in split.batch.modalities.items():
            found, steps = other.splits()[name].batch.modalities[modality], m.mask.shape[1]
            np.testing.assert_array_equal(found.values[:, :steps], m.values)
            np.testing.assert_array_equal(found.mask[:, :steps], m.mask)
    assert not [w for w in one.card.warnings if "published" not in w and "label" not in w]


def test_annotators_disagree_and_features_tell_something(written):
    train = m3ed.load(written / "pickle", task="utterance", cache=None).train
    assert ((train.soft > 0) & (train.soft < 1)).any(1).mean() > 0.2
    neutral = train.batch.labels[:, 1] == 1
    text = train.batch.modalities["text"].values[:, 0]
    half = np.arange(len(text)) % 2 == 0
    axis = text[half & neutral].mean(0) - text[half & ~neutral].mean(0)
    score = text[~half] @ axis
    assert score[neutral[~half]].mean() > score[~neutral[~half]].mean()
