from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.losses import empty_bank, enqueue

FEATURES = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
write = jax.jit(enqueue)


def contents(bank):
    """(class, first feature, weight) of the filled slots, the oldest first."""
    size, cursor = len(bank.classes), int(bank.cursor)
    rows = [(cursor + i) % size for i in range(size)]
    return [
        (int(bank.classes[r]), float(bank.features[r, 0]), float(bank.weights[r]))
        for r in rows
        if bank.classes[r] >= 0
    ]


@given(sizes=st.lists(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=6))
@settings(max_examples=15)
def test_bank_is_a_ring_buffer(sizes):
    bank, reference, step = empty_bank(5, 2), deque(maxlen=5), 0
    for n in sizes:
        classes = np.arange(step, step + n)
        bank = write(bank, np.stack([classes, -classes], 1).astype(np.float32), classes)
        reference.extend((int(c), float(c), 1.0) for c in classes)
        step += n
        assert contents(bank) == list(reference)
        assert 0 <= bank.cursor < 5
        np.testing.assert_array_equal(bank.features[:, 1], -bank.features[:, 0])


entry = st.tuples(st.sampled_from([-1, 0, 1, 2]), st.sampled_from([0.0, 0.5, 3.0]))


@given(steps=st.lists(st.lists(entry, min_size=1, max_size=9), min_size=1, max_size=5))
@settings(max_examples=25)
def test_what_does_not_count_takes_no_slot(steps):
    bank, reference, place = empty_bank(4, 1), deque(maxlen=4), 0.0
    for step in steps:
        step = step + [(-1, 1.0)] * (9 - len(step))  # of one shape
        classes, weights = np.array(step, np.float32).T
        features = place + np.arange(9, dtype=np.float32)
        counts = (classes >= 0) & (weights > 0)
        reference.extend(np.stack([classes, features, weights], 1)[counts].tolist())
        features = np.where(counts, features, np.nan)[:, None]  # it may hold anything
        bank = write(bank, features, classes.astype(int), weights)
        place += 9
        assert contents(bank) == [tuple(entry) for entry in reference]


def test_bank_of_no_slots():
    bank = write(empty_bank(0, 6), FEATURES, np.arange(3))
    assert bank.features.shape == (0, 6)
    assert bank.cursor == 0


def test_no_gradient_passes_through_the_bank():
    def through(features):
        return enqueue(empty_bank(4, 6), features, np.arange(3)).features.sum()

    np.testing.assert_array_equal(jax.jit(jax.grad(through))(FEATURES), np.zeros((3, 6)))


def test_features_and_classes_of_different_numbers_are_refused():
    with pytest.raises(AssertionError):
        enqueue(empty_bank(4, 6), jnp.asarray(FEATURES), np.arange(2))
