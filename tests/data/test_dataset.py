import dataclasses

import numpy as np
import pytest

from lddu.data.card import Card
from lddu.data.dataset import Dataset, Split
from lddu.structs import Batch, Modality

CARD = Card("x", "y", "z", (), {}, {}, ())


def split(steps=2, soft=None):
    text = Modality(np.zeros((3, steps, 4), np.float32), np.ones((3, steps), bool))
    batch = Batch({"text": text}, {"text": np.ones(3, bool)}, np.eye(3, dtype=np.float32))
    return Split(batch, np.array(["a", "b", "c"]), soft)


def test_soft_labels_serve_where_there_are_any():
    hard, soft = split(), split(soft=np.full((3, 3), 0.25, np.float32))
    np.testing.assert_array_equal(soft.soft_batch().labels, soft.soft)
    np.testing.assert_array_equal(soft.batch.labels, np.eye(3))
    np.testing.assert_array_equal(hard.soft_batch().labels, np.eye(3))


def test_shapes_take_the_longest_split():
    data = Dataset(split(2), split(1), split(5), ("a", "b", "c"), CARD)
    assert data.shapes() == {"text": (4, 5)}
    assert list(data.splits()) == ["train", "valid", "test"]


def test_batches_carry_the_names_of_the_labels():
    data = Dataset(split(), split(), split(), ["a", "b", "c"], CARD)
    for part in data.splits().values():
        assert part.batch.label_names == part.soft_batch().label_names == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"train: the batch has the labels \['a', 'b', 'c'\]"):
        dataclasses.replace(data, labels=("b", "a", "c"))
