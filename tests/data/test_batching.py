import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu import config
from lddu.data.batching import (
    batches,
    check_batch,
    concatenate,
    fingerprint,
    order,
    take,
)
from lddu.data.sequences import from_sequences, pad
from lddu.structs import Batch, Modality

MODEL = config.tiny({"text": (3, 4), "audio": (2, 5)}, ["a", "b"]).model


def arrays(lengths, features, seed=0):
    rng = np.random.default_rng(seed)
    return [None if t is None else rng.standard_normal((t, features)) for t in lengths]


def good():
    """Three rows; the last has no audio."""
    return from_sequences(
        {"text": arrays([4, 1, 2], 3), "audio": arrays([5, 2, None], 2)},
        np.array([[0, 1], [1, 1], [0, 0.25]]),
    )


def with_array(batch, name, **arrays):
    return batch.replace(
        modalities={**batch.modalities, name: batch.modalities[name].replace(**arrays)}
    )


def with_value(batch, name, index, value):
    values = batch.modalities[name].values.copy()
    values[index] = value
    return with_array(batch, name, values=values)


# ---- pad and from_sequences ---------------------------------------------------------------------

lengths = st.lists(st.none() | st.integers(0, 6), min_size=1, max_size=6)


@given(lengths, st.integers(1, 4), st.integers(0, 3), st.randoms())
@settings(max_examples=50, deadline=None)
def test_pad_holds_every_sequence_and_zeros_elsewhere(lengths, features, extra, random):
    sequences = arrays(lengths, features, random.randrange(99))
    longest = max([t or 0 for t in lengths])
    for length in (None, longest + extra or 1):
        modality = pad(sequences, features=features, length=length)
        assert modality.values.shape == (len(lengths), length or max(longest, 1), features)
        assert (modality.values.dtype, modality.mask.dtype) == (np.float32, bool)
        for sequence, values, mask in zip(sequences, *_rows(modality), strict=True):
            steps = 0 if sequence is None else len(sequence)
            np.testing.assert_array_equal(mask, np.arange(len(mask)) < steps)
            assert not values[steps:].any()
            if steps:
                np.testing.assert_array_equal(values[:steps], sequence.astype(np.float32))


def _rows(modality):
    return modality.values, modality.mask


@given(
    st.lists(
        st.tuples(st.none() | st.integers(0, 4), st.none() | st.integers(1, 3)),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=30, deadline=None)
def test_from_sequences_round_trip(lengths):
    text, audio = arrays([t for t, _ in lengths], 3, 1), arrays([t for _, t in lengths], 2, 2)
    batch = from_sequences(
        {"text": text, "audio": audio}, features={"text": 3, "audio": 2}, lengths={"text": 4}
    )
    assert batch.labels is None
    assert batch.modalities["text"].values.shape[1] == 4
    check_batch(batch, MODEL)
    for name, sequences in (("text", text), ("audio", audio)):
        for i, sequence in enumerate(sequences):
            here = sequence is not None and len(sequence) > 0
            assert batch.present[name][i] == here
            back = batch.modalities[name].values[i][batch.effective_mask(name)[i]]
            if here:
                np.testing.assert_array_equal(back, sequence.astype(np.float32))
            else:
                assert back.shape[0] == 0


def test_labels_become_float32():
    batch = from_sequences({"text": arrays([1, 2], 3)}, np.array([[True], [False]]))
    assert batch.labels.dtype == np.float32
    np.testing.assert_array_equal(batch.labels, [[1], [0]])


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([np.ones((2, 3)), np.ones((2, 4))], {}, r"'text': sequence 1: shape \(2, 4\).*steps, 3"),
        ([np.ones((2, 3)), np.ones(3)], {}, r"'text': sample 1 is a vector .*\(3,\).*'step'"),
        ([np.ones((2, 3)), np.float32(1)], {}, r"'text': sequence 1: shape \(\)"),
        ([np.float32(1), np.ones((2, 3))], {}, r"'text': sequence 0: shape \(\)"),
        ([np.ones((2, 3)), np.ones((5, 3))], {"lengths": {"text": 4}}, "'text': sequence 1: 5 st"),
        ([None, None], {}, r"'text': every sequence is missing; give features\['text'\]"),
        ([None, np.ones((2, 3))], {"features": {"text": 2}}, r"'text': sequence 1: .*steps, 2"),
    ],
)
def test_from_sequences_names_modality_and_sequence(sequences, options, message):
    with pytest.raises(ValueError, match=message):
        from_sequences({"audio": arrays([1, 1], 2), "text": sequences}, **options)


def test_from_sequences_needs_equally_many_samples():
    with pytest.raises(ValueError, match=r"number of samples: \{'text': 2, 'audio': 3\}"):
        from_sequences({"text": arrays([1, 2], 3), "audio": arrays([1, 2, 3], 2)})


# ---- check_batch --------------------------------------------------------------------------------


def test_a_good_batch_passes_as_numpy_and_as_jax_arrays():
    check_batch(good(), MODEL, labelled=True)
    check_batch(jax.tree.map(jnp.asarray, good()), MODEL, labelled=True)
    check_batch(good().replace(labels=None), MODEL)
    check_batch(good().replace(weight=np.array([0.0, 2.0, 1.0])), MODEL)
    some = np.float32([[np.nan, 1], [0, np.nan], [np.nan, np.nan]])
    check_batch(good().replace(labels=some), MODEL, labelled=True)
    check_batch(good().replace(labels=np.full((3, 2), np.nan)), MODEL)
    missing = good().replace(present={name: np.zeros(3, bool) for name in ("text", "audio")})
    check_batch(missing, MODEL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_an_error_at_real_steps_only(value):
    with pytest.raises(ValueError, match=r"'text': NaN or infinity at 1 real steps.*row 2, step 1"):
        check_batch(with_value(good(), "text", (2, 1, 0), value), MODEL)
    check_batch(with_value(good(), "text", (2, 2), value), MODEL)  # a padded step
    absent = good().replace(present={**good().present, "text": np.array([True, True, False])})
    check_batch(with_value(absent, "text", (2, 1, 0), value), MODEL)


def _without(batch, name):
    return batch.replace(modalities={k: v for k, v in batch.modalities.items() if k != name})


DAMAGES = {
    "missing modality": (lambda b: _without(b, "audio"), r"lacks modalities \['audio'\].*'text'"),
    "no rows": (lambda b: take(b, np.zeros(0, int)), "no rows"),
    "width": (
        lambda b: with_array(b, "text", values=np.ones((3, 4, 7), np.float32)),
        r"'text': values have shape \(3, 4, 7\), expected \(3, steps, 3\)",
    ),
    "dimensions": (
        lambda b: with_array(b, "text", values=np.ones((3, 3), np.float32)),
        r"'text': values have shape \(3, 3\)",
    ),
    "rows of one modality": (
        lambda b: with_array(b, "audio", values=np.ones((4, 5, 2), np.float32)),
        r"'audio': values have shape \(4, 5, 2\), expected \(3, steps, 2\)",
    ),
    "too long": (
        lambda b: with_array(b, "audio", values=np.ones((3, 6, 2)), mask=np.ones((3, 6), bool)),
        "'audio': 6 steps, .* at most 5",
    ),
    "mask type": (
        lambda b: with_array(b, "audio", mask=np.ones((3, 5), np.float32)),
        r"'audio': mask is float32 \(3, 5\), expected bool \(3, 5\)",
    ),
    "mask shape": (
        lambda b: with_array(b, "audio", mask=np.ones((3, 4), bool)),
        r"'audio': mask is bool \(3, 4\), expected bool \(3, 5\)",
    ),
    "present lacks": (
        lambda b: b.replace(present={"text": b.present["text"]}),
        r"present\['audio'\]: expected bool \(3,\)",
    ),
    "present type": (
        lambda b: b.replace(present={**b.present, "audio": np.ones(3, int)}),
        r"present\['audio'\]: expected bool \(3,\), got int64 \(3,\)",
    ),
    "present shape": (
        lambda b: b.replace(present={**b.present, "audio": np.ones((3, 1), bool)}),
        r"present\['audio'\]: expected bool \(3,\), got bool \(3, 1\)",
    ),
    "no labels": (lambda b: b.replace(labels=None), "no labels"),
    "label columns": (
        lambda b: b.replace(labels=np.zeros((3, 3))),
        r"labels have shape \(3, 3\), expected \(3, 2\) for \['a', 'b'\]",
    ),
    "label rows": (lambda b: b.replace(labels=np.zeros((2, 2))), r"labels have shape \(2, 2\)"),
    "label vector": (lambda b: b.replace(labels=np.zeros(3)), r"labels have shape \(3,\)"),
    "label above": (lambda b: b.replace(labels=np.full((3, 2), 1.1)), r"labels must lie in \[0, 1"),
    "label below": (lambda b: b.replace(labels=np.full((3, 2), -1.0)), r"labels must lie in \[0, "),
    "label inf": (
        lambda b: b.replace(labels=np.float32([[0, np.nan], [1, np.inf], [0, 0]])),
        r"labels must lie in \[0, 1\].*got inf for 'b' in row 1",
    ),
    "label nan": (lambda b: b.replace(labels=np.full((3, 2), np.nan)), "labels are all NaN"),
    "weight shape": (lambda b: b.replace(weight=np.ones((3, 1))), r"weight: expected \(3,\).*3, 1"),
    "weight negative": (lambda b: b.replace(weight=np.array([1, 1, -1])), "weight: .*non-negative"),
    "weight nan": (lambda b: b.replace(weight=np.array([1, np.nan, 1])), "weight: .*finite"),
    "weight infinite": (lambda b: b.replace(weight=np.array([1, np.inf, 1])), "weight: .*finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_batch_says_what_is_wrong(damage):
    change, message = DAMAGES[damage]
    with pytest.raises(ValueError, match=message):
        check_batch(change(good()), MODEL, labelled=True)


def test_further_modalities_are_ignored():
    batch = good()
    extra = Modality(np.full((3, 1, 9), np.nan, np.float32), np.ones((3, 1), bool))
    batch = batch.replace(
        modalities={"zero": extra, **batch.modalities},
        present={"zero": np.ones(3, bool), **batch.present},
    )
    check_batch(batch, MODEL, labelled=True)


# ---- order, take, concatenate -------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 12])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 20])
def test_order_gives_every_row_once_and_fills_with_weight_zero(rows, batch_size):
    key = jax.random.key(batch_size)
    indices, weight = order(key, rows, batch_size)
    assert indices.shape == weight.shape == (-(-rows // batch_size), batch_size)
    assert sorted(indices[weight > 0].tolist()) == list(range(rows))
    assert set(np.unique(weight)) <= {0.0, 1.0}
    assert weight[:-1].all()
    assert 0 <= indices.min() <= indices.max() < rows
    again = order(key, rows, batch_size)
    np.testing.assert_array_equal(indices, again[0])
    np.testing.assert_array_equal(weight, again[1])


def test_order_differs_by_key():
    first, second = (order(jax.random.key(k), 50, 8)[0] for k in (0, 1))
    assert (first != second).any()
    assert (first.ravel()[:50] != np.arange(50)).any()


def test_batches_keep_the_order_given():
    rows, weight = batches(np.array([5, 3, 9, 1, 7]), 2)
    np.testing.assert_array_equal(rows, [[5, 3], [9, 1], [7, 5]])
    np.testing.assert_array_equal(weight, [[1, 1], [1, 1], [1, 0]])


def test_take_and_concatenate():
    batch = good()
    taken = take(batch, np.array([2, 0, 0]))
    np.testing.assert_array_equal(taken.labels, batch.labels[[2, 0, 0]])
    np.testing.assert_array_equal(taken.present["audio"], [False, True, True])
    np.testing.assert_array_equal(
        taken.modalities["text"].values, batch.modalities["text"].values[[2, 0, 0]]
    )
    by_mask = take(batch, np.array([True, False, True]))
    jax.tree.map(np.testing.assert_array_equal, by_mask, take(batch, np.array([0, 2])))
    assert take(batch.replace(labels=None), np.array([1])).labels is None

    parts = [take(batch, np.array(rows)) for rows in ([0], [1, 2])]
    joined = concatenate(parts)
    assert isinstance(joined, Batch)
    jax.tree.map(np.testing.assert_array_equal, joined, batch)


def test_unknown_labels_pass_through_take_and_concatenate():
    labels = np.float32([[np.nan, 1], [0, np.nan], [0.5, 0]])
    batch = good().replace(labels=labels)
    joined = concatenate([batch, take(batch, np.array([2, 0]))])
    np.testing.assert_array_equal(joined.labels, labels[[0, 1, 2, 2, 0]])


def test_fingerprints_are_equal_for_equal_batches_only():
    batch = good().replace(labels=np.float32([[np.nan, 1], [0, np.nan], [0.5, 0]]))
    other_nan = batch.labels.copy()
    other_nan.view(np.uint32)[0, 0] = 0xFFC00001  # another of the many NaN
    assert np.isnan(other_nan[0, 0])
    same = fingerprint(batch.replace(labels=other_nan))
    assert fingerprint(batch) == same == fingerprint(jax.tree.map(jnp.asarray, batch))
    np.testing.assert_array_equal(other_nan.view(np.uint32)[0, 0], 0xFFC00001)  # left as it was
    changed = np.where(np.isnan(batch.labels), 0, batch.labels).astype(np.float32)
    assert fingerprint(batch.replace(labels=changed)) != same
    assert fingerprint(batch.replace(labels=batch.labels[::-1])) != same
    assert fingerprint(good().replace(labels=None)) != fingerprint(good())
