import re

import numpy as np
import pytest

from lddu.data import from_sequences, merge, merge_datasets
from lddu.data.batching import take
from lddu.data.card import Card, Source
from lddu.data.dataset import Dataset, Split

NAN = np.nan


def speech():
    steps = [np.full((n, 3), float(n)) for n in (2, 4)]
    batch = from_sequences({"text": steps, "audio": [np.ones((1, 2)), None]}, np.eye(2))
    return batch, ("joy", "fear")


def film():
    frames, steps = [np.full((n, 5), -1.0) for n in (3, 1, 2)], [np.ones((6, 3)), None, None]
    batch = from_sequences(
        {"vision": frames, "text": steps}, np.float32([[1, 0], [0.5, 1], [0, 0]])
    )
    return batch.replace(weight=np.array([2.0, 0.5, 0.0])), ("anger", "joy")


def test_every_row_keeps_what_its_corpus_has():
    merged = merge({"speech": speech(), "film": film()})
    batch = merged.batch
    assert merged.labels == ("joy", "fear", "anger")
    want = [[1, 0, NAN], [0, 1, NAN], [0, NAN, 1], [1, NAN, 0.5], [0, NAN, 0]]
    np.testing.assert_array_equal(batch.labels, want)
    np.testing.assert_array_equal(batch.weight, [1, 1, 2, 0.5, 0])
    np.testing.assert_array_equal(merged.corpus, ["speech"] * 2 + ["film"] * 3)
    np.testing.assert_array_equal(merged.row, [0, 1, 0, 1, 2])
    shapes = {name: m.values.shape for name, m in batch.modalities.items()}
    assert shapes == {"text": (5, 6, 3), "audio": (5, 1, 2), "vision": (5, 3, 5)}
    for (part, _), rows in ((speech(), slice(0, 2)), (film(), slice(2, 5))):
        got = take(batch, rows)
        for name, modality in got.modalities.items():
            if name not in part.modalities:
                assert not modality.mask.any()
                assert not got.present[name].any()
                continue
            old = part.modalities[name]
            length = old.mask.shape[1]
            np.testing.assert_array_equal(modality.values[:, :length], old.values)
            np.testing.assert_array_equal(modality.mask[:, :length], old.mask)
            assert not modality.mask[:, length:].any()
            np.testing.assert_array_equal(got.present[name], part.present[name])


def test_names_of_a_batch_count():
    batch, names = speech()
    turned = batch.replace(labels=batch.labels[:, ::-1], label_names=names[::-1])
    merged = merge([(batch, names), (turned, names)])
    assert merged.batch.label_names == merged.labels == names
    np.testing.assert_array_equal(merged.batch.labels, np.concatenate([batch.labels] * 2))


def test_a_sequence_of_corpora_is_numbered():
    merged = merge([speech(), speech()])
    np.testing.assert_array_equal(merged.corpus, [0, 0, 1, 1])
    assert merged.batch.weight is None
    assert not np.isnan(merged.batch.labels).any()
    alone = merge([speech()]).batch
    for name, modality in speech()[0].modalities.items():
        np.testing.assert_array_equal(alone.modalities[name].values, modality.values)


def test_labels_in_a_given_order_may_be_more():
    merged = merge([speech()], labels=["disgust", "fear", "joy"])
    assert merged.labels == ("disgust", "fear", "joy")
    np.testing.assert_array_equal(merged.batch.labels, [[NAN, 0, 1], [NAN, 1, 0]])


def test_a_corpus_without_labels_knows_none():
    bare = speech()[0].replace(labels=None)
    merged = merge([(bare, ()), film()])
    assert merged.labels == ("anger", "joy")
    assert np.isnan(merged.batch.labels[:2]).all()
    assert merge([(bare, ())]).batch.labels is None
    assert np.isnan(merge([(bare, ("joy",))]).batch.labels).all()


WRONG = {
    "nothing": (lambda: merge({}), "corpora is empty"),
    "names": (
        lambda: merge({"s": (speech()[0], ("joy",))}),
        r"corpus 's': labels have shape \(2, 2\), expected \(2, 1\) for \['joy'\]",
    ),
    "twice": (
        lambda: merge([(speech()[0], ("joy", "joy"))]),
        r"corpus 0: label names \['joy', 'joy'\] are not all different",
    ),
    "order": (
        lambda: merge([speech()], labels=("joy", "anger")),
        r"labels \['joy', 'anger'\] must name every label .* lacks \['fear'\]",
    ),
    "order twice": (
        lambda: merge([speech()], labels=("joy", "fear", "joy")),
        "must name every label of the corpora once",
    ),
    "width": (
        lambda: merge({"a": speech(), "b": (from_sequences({"text": [np.ones((1, 4))]}), ())}),
        "modality 'text': width 3 in corpus 'a', but 4 in corpus 'b'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_named(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call()


def dataset(name, pair, soft=None):
    batch, labels = pair
    ids = np.array([f"{i}" for i in range(batch.size)])
    split = Split(batch, ids, soft)
    card = Card(name, "drawn", "emotions", (Source(name, 1, "ab"),), {}, {"filled": 2}, ("odd",))
    return Dataset(split, split, split, labels=labels, card=card)


def test_datasets_merge_split_by_split():
    soft = np.float32([[0.75, 0.25], [0, 1]])
    data = merge_datasets(
        {"s": dataset("speech", speech(), soft), "f": dataset("film", film())},
        labels=("fear", "joy", "anger"),
    )
    assert data.labels == ("fear", "joy", "anger")
    for split in data.splits().values():
        assert split.ids.tolist() == ["s/0", "s/1", "f/0", "f/1", "f/2"]
        np.testing.assert_array_equal(split.batch.labels[:2], [[0, 1, NAN], [1, 0, NAN]])
        np.testing.assert_array_equal(split.soft[:2], [[0.25, 0.75, NAN], [1, 0, NAN]])
        np.testing.assert_array_equal(split.soft[2:], split.batch.labels[2:])
    assert data.shapes() == {"text": (3, 6), "audio": (2, 1), "vision": (5, 3)}
    card = data.card
    assert (card.name, card.layout) == ("speech + film", "s: drawn; f: drawn")
    assert [source.file for source in card.sources] == ["speech", "film"]
    assert card.repairs == {"s: filled": 2, "f: filled": 2}
    assert card.warnings[:2] == ("s: odd", "f: odd")
    assert card.splits["train"]["unknown"] == {"fear": 3, "joy": 0, "anger": 2}
    assert re.search("unknown: fear 3, anger 2", card.to_text())


def test_datasets_without_soft_labels_merge_without():
    data = merge_datasets({"s": dataset("speech", speech()), "f": dataset("film", film())})
    assert data.train.soft is None
    assert data.labels == ("joy", "fear", "anger")
