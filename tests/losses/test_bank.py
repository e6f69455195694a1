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
    """(class, first feature) of the filled slots, the oldest first."""
    size, cursor = len(bank.classes), int(bank.cursor)
    rows = [(cursor + i) % size for i in range(size)]
    return [
        (int(bank.classes[r]), float(bank.features[r, 0])) for r in rows if bank.classes[r] >= 0
    ]


@given(sizes=st.lists(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=6))
@settings(max_examples=15)
def test_bank_is_a_ring_buffer(sizes):
    bank, reference, step = empty_bank(5, 2), deque(maxlen=5), 0
    for n in sizes:
        classes = np.arange(step, step + n)
        bank = write(bank, np.stack([classes, -classes], 1).astype(np.float32), classes)
        reference.extend((int(c), float(c)) for c in classes)
        step += n
        assert contents(bank) == list(reference)
        assert 0 <= bank.cursor < 5
        np.testing.assert_array_equal(bank.features[:, 1], -bank.features[:, 0])


def test_ignored_entries_stay_ignored_in_the_bank():
    bank = write(empty_bank(4, 6), FEATURES, np.array([0, -1, 1]))
    np.testing.assert_array_equal(bank.classes, [0, -1, 1, -1])


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
