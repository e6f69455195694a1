"""The forms in which people have their data: each with its result, or the error that mends it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu import config
from lddu.data import adapt, check_batch, concatenate, encode_labels, from_sequences, pad, take
from lddu.structs import Batch, Modality

NAMES = ["joy", "anger", "fear"]
NAN = float("nan")
ROWS = [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
TEXT = [np.ones((2, 4)), np.ones((1, 4)), None]
MODEL = config.tiny({"text": (2, 3), "audio": (1, 4)}, NAMES).model

LABELS = {
    "numbers": (ROWS, {}, ROWS),
    "soft numbers": (np.array(ROWS) / 2, {}, np.array(ROWS) / 2),
    "numbers, named": (ROWS, {"label_names": NAMES}, ROWS),
    "a name each": (["joy", "fear", "joy"], {"label_names": NAMES}, np.eye(3)[[0, 2, 0]]),
    "lists": ([["joy"], ["fear", "joy"], []], {"label_names": NAMES}, ROWS),
    "sets": ([{"joy"}, {"fear", "joy"}, set()], {"label_names": NAMES}, ROWS),
    "tuples": ([("joy",), ("fear", "joy"), ()], {"label_names": NAMES}, ROWS),
    "an array of names": (np.array(["joy", "fear", "joy"]), {"label_names": NAMES}, None),
    "an unknown row": (["joy", None, []], {"label_names": NAMES}, [ROWS[0], [NAN] * 3, [0] * 3]),
    "nobody has any": ([[], None, []], {"label_names": NAMES}, [[0] * 3, [NAN] * 3, [0] * 3]),
    "none": (None, {}, None),
}
WRONG_LABELS = {
    "an unknown name": (
        [["joy"], ["bliss"], []],
        {"label_names": NAMES},
        "row 1: unknown label 'bliss'; known are joy, anger, fear",
    ),
    "no list of names": ([["joy"], [], []], {}, "labels are given by name; pass label_names"),
    "a text as list": ([["joy"], [], []], {"label_names": "joy"}, "label_names='joy' is one text"),
    "names twice": (["joy"] * 3, {"label_names": ["joy", "joy"]}, "label_names are not unique"),
    "a number as name": ([["joy"], [3], []], {"label_names": NAMES}, "row 1: unknown label 3"),
    "ragged numbers": ([[1, 0], [1], [0, 1]], {}, "labels must be numbers"),
    "another width": (np.eye(3)[:, :2], {"label_names": NAMES}, r"labels have shape \(3, 2\)"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "options", "want"), LABELS.values(), ids=LABELS)
def test_labels_in_every_form(labels, options, want):
    batch = from_sequences({"text": TEXT}, labels, **options)
    if labels is None:
        assert batch.labels is None
    else:
        want = np.eye(3)[[0, 2, 0]] if want is None else want
        np.testing.assert_array_equal(batch.labels, np.asarray(want, np.float32))
        assert batch.labels.dtype == np.float32
    assert batch.label_names == (tuple(NAMES) if options else None)


@pytest.mark.parametrize(("labels", "options", "message"), WRONG_LABELS.values(), ids=WRONG_LABELS)
def test_labels_in_a_wrong_form_are_named(labels, options, message):
    with pytest.raises(ValueError, match=message):
        from_sequences({"text": TEXT}, labels, **options)


def test_encoding_inverts_naming():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (20, 3)).astype(np.float32)
    named = [[NAMES[c] for c in np.flatnonzero(row)] for row in labels]
    np.testing.assert_array_equal(encode_labels(named, NAMES), labels)
    with pytest.raises(ValueError, match="samples='joy' is one text"):
        encode_labels("joy", NAMES)


VECTOR, COLUMN = np.arange(4.0), np.arange(4.0)[:, None]
SEQUENCES = {
    "sequences": ([COLUMN, COLUMN[:2]], {}, (2, 4, 1), [4, 2]),
    "lists of lists": ([[[1.0, 2.0]], [[3.0, 4.0]]], {}, (2, 1, 2), [1, 1]),
    "vectors as steps": ([VECTOR, VECTOR], {"vectors": "step"}, (2, 1, 4), [1, 1]),
    "a table as steps": (np.ones((3, 5)), {"vectors": "step"}, (3, 1, 5), [1, 1, 1]),
    "an empty vector": ([VECTOR, []], {"vectors": "step"}, (2, 1, 4), [1, 0]),
    "an empty sequence": ([COLUMN, []], {}, (2, 4, 1), [4, 0]),
    "one missing": ([None, COLUMN], {}, (2, 4, 1), [0, 4]),
    "missing as NaN": ([NAN, COLUMN], {}, (2, 4, 1), [0, 4]),
    "cut": ([COLUMN], {"lengths": {"t": 2}, "too_long": "cut"}, (1, 2, 1), [2]),
    "pooled": ([COLUMN], {"lengths": {"t": 2}, "too_long": "pool"}, (1, 2, 1), [2]),
}
WRONG_SEQUENCES = {
    "vectors": ([VECTOR, VECTOR], {}, r"modality 't': sample 0 is a vector of shape \(4,\), must "
                r"be \(steps, features\); pass vectors='step' .* or x\[:, None\]"),
    "one vector": ([COLUMN, VECTOR], {}, r"sample 1 is a vector of shape \(4,\)"),
    "texts": (["a word", COLUMN], {}, "modality 't': sample 0 is a str that is not an array"),
    "ragged": ([[[1.0, 2.0], [3.0]]], {}, "sample 0 is a list that is not an array of numbers"),
    "too long": ([COLUMN], {"lengths": {"t": 2}}, "sequence 0: 4 steps, more than length=2; raise "
                 "the length, or pass too_long='cut' or 'pool'"),
    "unknown option": ([COLUMN], {"vectors": "steps"}, "vectors='steps'; choose one of 'error', "),
    "unknown cure": ([COLUMN], {"lengths": {"t": 2}, "too_long": "mean"}, "too_long='mean'; ch"),
    "nothing": ([None, None], {}, r"every sequence is missing; give features\['t'\]"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "options", "shape", "steps"), SEQUENCES.values(), ids=SEQUENCES)
def test_sequences_in_every_form(rows, options, shape, steps):
    modality = from_sequences({"t": rows}, **options).modalities["t"]
    assert modality.values.shape == shape
    assert modality.mask.sum(1).tolist() == steps


@pytest.mark.parametrize(
    ("rows", "options", "message"), WRONG_SEQUENCES.values(), ids=WRONG_SEQUENCES
)
def test_sequences_in_a_wrong_form_are_named(rows, options, message):
    with pytest.raises(ValueError, match=message):
        from_sequences({"t": rows}, **options)


@given(st.integers(1, 30), st.integers(1, 8))
def test_cut_keeps_the_first_steps_and_pool_the_means_of_equal_parts(length, steps):
    x = np.random.default_rng(length).normal(size=(length, 2)).astype(np.float32)
    cut, pooled = (pad([x], features=2, length=steps, too_long=how) for how in ("cut", "pool"))
    kept = min(length, steps)
    assert cut.mask.sum() == pooled.mask.sum() == kept
    np.testing.assert_array_equal(cut.values[0, :kept], x[:kept])
    edges = [i * length // kept for i in range(kept + 1)]
    means = [x[a:b].mean(0) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(pooled.values[0, :kept], means, atol=1e-5)


def lacking():
    """Two samples with text of 5 and 2 steps, and labels in another order than the model's."""
    text = [np.arange(10.0).reshape(5, 2), np.ones((2, 2))]
    labels = [["joy"], ["fear"]]
    return from_sequences({"text": text}, labels, label_names=["fear", "joy", "anger"])


def test_a_batch_is_adapted_to_the_model_only_where_allowed():
    batch = lacking()
    for options, message in (
        ({}, r"lacks modalities \['audio'\].*'text'.*missing='allow'"),
        ({"missing": "allow"}, "5 steps, but .* at most 3; .*too_long='pool'"),
    ):
        with pytest.raises(ValueError, match=message):
            check_batch(adapt(batch, MODEL, **options), MODEL)
    for how, first in (("cut", [[0, 1], [2, 3], [4, 5]]), ("pool", [[0, 1], [3, 4], [7, 8]])):
        fits = adapt(batch, MODEL, missing="allow", too_long=how)
        check_batch(fits, MODEL, labelled=True)
        np.testing.assert_allclose(fits.modalities["text"].values[0], first)
        assert fits.modalities["text"].mask.sum(1).tolist() == [3, 2]
        assert not fits.observed(["audio"]).any()
        assert fits.labels.tolist() == [[1, 0, 0], [0, 0, 1]]
        assert fits.label_names == tuple(NAMES)


def test_padding_beyond_the_length_is_no_step():
    values, mask = np.zeros((1, 6, 2)), np.array([[0, 1, 0, 0, 1, 0]], bool)
    values[0, 1], values[0, 4] = 1.0, 2.0
    batch = Batch({"text": Modality(values, mask)}, {"text": np.array([True])})
    fits = adapt(batch, MODEL, too_long="cut").modalities["text"]
    assert fits.values[0].tolist() == [[1, 1], [2, 2], [0, 0]]
    assert fits.mask.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "yes"}, "missing='yes'; choose one of 'error', 'allow'"),
        ({"too_long": "yes"}, "too_long='yes'; choose one of"),
    ],
)
def test_unknown_options_of_adapt(options, message):
    with pytest.raises(ValueError, match=message):
        adapt(lacking(), MODEL, **options)


def test_a_batch_of_other_modalities_is_refused():
    batch = from_sequences({"video": [np.ones((2, 2))]})
    with pytest.raises(ValueError, match=r"none of the model's modalities: .*'video'.*'audio'"):
        adapt(batch, MODEL, missing="allow")


def test_names_of_labels_are_checked_against_the_model():
    batch = adapt(lacking(), MODEL, missing="allow", too_long="cut")
    other = batch.replace(label_names=("joy", "fear", "anger"))
    with pytest.raises(ValueError, match=r"\['joy', 'fear', 'anger'\].*another order.*adapt"):
        check_batch(other, MODEL)
    wrong = batch.replace(label_names=("joy", "bliss", "anger"))
    for use in (check_batch, adapt):
        with pytest.raises(ValueError, match=r"'fear'\], batch has \['joy', 'bliss', 'anger'\]"):
            use(wrong, MODEL)
    check_batch(wrong.replace(labels=None), MODEL)


def test_joined_batches_have_their_labels_in_one_order():
    batch = lacking()
    other = adapt(batch, MODEL)
    both = concatenate([batch, other])
    assert both.labels.tolist() == [*batch.labels.tolist(), *batch.labels.tolist()]
    assert both.label_names == take(both, slice(1)).label_names == ("fear", "joy", "anger")
    unnamed = batch.replace(label_names=None)
    for parts in ([unnamed, batch], [batch, unnamed]):
        joined = concatenate(parts)
        assert joined.labels.tolist() == both.labels.tolist()
        assert joined.label_names == batch.label_names
