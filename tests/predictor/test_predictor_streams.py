"""`predict_batches`: a stream of batches predicts as its concatenation, in bounded memory."""

import functools

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.data.batching import take
from lddu.predictor import network
from lddu.structs import Modality

SIZE = 40
close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def prediction(small, toy_data):
    return small.predict(toy_data, batch_size=SIZE)


def parts_of(batch, sizes):
    ends = np.cumsum(sizes)
    return [take(batch, slice(e - n, e)) for e, n in zip(ends, sizes, strict=True)]


def joined(predictions):
    return jax.tree.map(lambda *x: np.concatenate(x), *predictions)


@settings(max_examples=10)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_a_stream_predicts_as_its_concatenation(small, toy_data, prediction, sizes):
    rows = np.arange(sum(sizes)) % 40
    got = list(small.predict_batches(parts_of(take(toy_data, rows), sizes), batch_size=SIZE))
    assert [len(p.probs) for p in got] == sizes
    close(joined(got), take(prediction, rows))


def test_a_stream_compiles_once_per_padded_length(small, toy_data):
    forward = network.compiled_forward(small.config.model, small.config.execution)
    x = toy_data.modalities["x"]
    cut = Modality(x.values[:, :4], x.mask[:, :4])
    shorter = toy_data.replace(modalities={**toy_data.modalities, "x": cut})
    wide = {n: Modality(m.values.astype(float), m.mask) for n, m in toy_data.modalities.items()}
    stream = [
        *parts_of(toy_data, [1, 17, 22]),
        take(toy_data.replace(modalities=wide), slice(5)),
        *parts_of(shorter, [3, 30]),
        take(toy_data, slice(2)),
    ]
    small.predict(shorter, batch_size=SIZE)
    small.predict(toy_data, batch_size=SIZE)
    compiled = forward._cache_size()
    got = list(small.predict_batches(stream, batch_size=SIZE))
    for prediction, batch in zip(got, stream, strict=True):
        close(prediction, small.predict(batch, batch_size=SIZE))
    assert forward._cache_size() == compiled


def test_only_the_fields_asked_for_leave_the_device(small, toy_data, prediction, monkeypatch):
    fetched = []

    def fetch(tree):
        fetched.append(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
        return jax.tree.map(np.asarray, tree)

    monkeypatch.setattr(jax, "device_get", fetch)
    got = small.predict(toy_data, batch_size=SIZE, fields=("probs", "weights"))
    assert fetched == [SIZE * (2 + 2 * 2) * 4]
    others = dict.fromkeys(set(network.FIELDS) - {"probs", "weights"})
    chex.assert_trees_all_equal(got, prediction.replace(**others))
    fetched.clear()
    small.members(toy_data, batch_size=SIZE, fields=("weights",))
    assert fetched == [SIZE * (3 * 2 * 4 + 2 * 2 * 4 + 1)]
    fetched.clear()
    small.member_probs(toy_data, batch_size=SIZE)
    assert fetched == [SIZE * (3 * 2 * 4 + 1)]
    assert jax.tree.leaves(small.predict(toy_data, batch_size=SIZE, fields=())) == []


def test_one_buffer_may_be_filled_again_and_again(small, toy_data, prediction):
    def stream():
        buffer = jax.tree.map(np.copy, take(toy_data, slice(5)))
        for part in parts_of(toy_data, [5] * 8):
            jax.tree.map(np.copyto, buffer, part)
            yield buffer

    got = list(small.predict_batches(stream(), batch_size=SIZE))
    for array in jax.tree.leaves(got):
        array += 0  # as writable as those of predict
    close(joined(got), prediction)


def test_a_stream_is_read_as_it_is_used(small, toy_data):
    read = []

    def endless():
        while True:
            read.append(1)
            yield toy_data

    stream = small.predict_batches(endless(), batch_size=SIZE, fields=("probs",))
    assert not read
    for number in range(1, 6):
        next(stream)
        assert len(read) == number + 2  # two more are on their way


def test_mistakes_in_a_stream(small, toy_data):
    bad = jax.tree.map(np.copy, toy_data)
    bad.modalities["x"].values[:] = np.nan
    with pytest.raises(ValueError, match="batch 1: modality 'x': NaN or infinity"):
        list(small.predict_batches([toy_data, bad], batch_size=SIZE))
    with pytest.raises(ValueError, match="batch 1: batch has no rows"):
        list(small.predict_batches([toy_data, take(toy_data, slice(0))], batch_size=SIZE))
    assert list(small.predict_batches([])) == []
    # Wrong arguments are found at once, before the stream is read.
    for fields in ("probs", ("probs", "prob")):
        with pytest.raises(ValueError, match=r"fields=.*probs.*: give a tuple of probs, logits"):
            small.predict_batches([toy_data], fields=fields)
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        small.predict_batches([toy_data], batch_size=0)
