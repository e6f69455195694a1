"""Examples one after the other, in bounded memory."""

import itertools

import numpy as np
import pytest

from lddu.data import stream

SHAPES = {"audio": (2, 3), "text": (1, 2)}
EXAMPLES = [
    {"audio": [[1.0, 2.0]], "text": None, "other": "x"},
    {"audio": np.ones((3, 2)), "text": np.array([5.0, 6.0])},  # flat: two steps of one feature
    {"audio": []},
]


def test_batches_have_one_shape_and_all_rows():
    batches = list(stream(iter(EXAMPLES), SHAPES, batch_size=2))
    assert [batch.size for batch in batches] == [2, 1]
    for batch in batches:
        assert batch.labels is None
        assert {m: x.values.shape[1:] for m, x in batch.modalities.items()} == {
            "audio": (3, 2),
            "text": (2, 1),
        }
    assert batches[0].present["audio"].tolist() == [True, True]
    assert batches[0].present["text"].tolist() == [False, True]
    assert batches[1].present["audio"].tolist() == [False]
    np.testing.assert_array_equal(batches[0].modalities["text"].values[1, :, 0], [5, 6])


def test_an_endless_source_is_read_as_far_as_it_is_used():
    read = itertools.count()
    endless = ({"audio": [[next(read), 0.0]]} for _ in itertools.count())
    first = next(stream(endless, {"audio": (2, 1)}, batch_size=4))
    assert first.modalities["audio"].values[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert next(read) == 4


MISTAKES = {
    "width": ([[1.0, 2.0, 3.0]], r"example 2, 'audio': shape \(1, 3\), expected \(steps, 2\)"),
    "flat": ([1.0, 2.0, 3.0], r"example 2, 'audio': shape \(3,\), expected \(steps, 2\)"),
    "ragged": ([[1.0], [1.0, 2.0]], "example 2, 'audio': "),
    "text": ([["x", "y"]], "example 2, 'audio': could not convert"),
    "long": (np.ones((4, 2)), "example 2, 'audio': 4 steps, expected at most 3"),
    "nan": ([[np.nan, 1.0]], "example 2, 'audio': NaN or infinity"),
}


@pytest.mark.parametrize(("cell", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_name_the_example(cell, message):
    examples = [{"audio": [[1.0, 2.0]]}] * 2 + [{"audio": cell}]
    with pytest.raises(ValueError, match=message):
        list(stream(examples, {"audio": (2, 3)}, batch_size=1))


def test_predictions_of_a_stream_are_those_of_the_batch(toy, toy_inputs):
    examples = [
        {
            m: x.values[i][x.mask[i] & toy_inputs.present[m][i]]
            for m, x in toy_inputs.modalities.items()
        }
        for i in range(toy_inputs.size)
    ]
    shapes = {m: (x.values.shape[2], x.values.shape[1]) for m, x in toy_inputs.modalities.items()}
    parts = toy.predict_batches(stream(examples, shapes, batch_size=7), batch_size=40)
    probs = np.concatenate([part.probs for part in parts])
    expected = toy.predict(toy_inputs, batch_size=40).probs
    np.testing.assert_allclose(probs, expected, rtol=1e-5)
