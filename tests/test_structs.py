import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.structs import Batch, Modality

NAMES = ("text", "audio")


@pytest.fixture
def batch():
    """Row 0 has both; row 1 lacks text by `present`; row 2 lacks audio by its mask."""
    text = Modality(np.ones((3, 2, 4), np.float32), np.array([[1, 1], [1, 0], [1, 0]], bool))
    audio = Modality(np.ones((3, 3, 2), np.float32), np.array([[1] * 3, [1, 0, 1], [0] * 3], bool))
    present = {"text": np.array([True, False, True]), "audio": np.ones(3, bool)}
    return Batch({"audio": audio, "text": text}, present, np.zeros((3, 1), np.float32))


def test_size_counts_rows(batch):
    assert batch.size == 3


def test_effective_mask_is_empty_where_the_modality_is_missing(batch):
    np.testing.assert_array_equal(batch.effective_mask("text"), [[1, 1], [0, 0], [1, 0]])
    np.testing.assert_array_equal(batch.effective_mask("audio"), batch.modalities["audio"].mask)


def test_observed_needs_presence_and_a_real_step(batch):
    np.testing.assert_array_equal(batch.observed(NAMES), [[1, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(batch.observed(NAMES[::-1]), [[1, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(batch.observed(["audio"]), [[1], [1], [0]])


def test_observed_keeps_to_the_kind_of_its_arrays(batch):
    assert isinstance(batch.observed(NAMES), np.ndarray)
    on_device = jax.tree.map(jnp.asarray, batch)
    assert isinstance(on_device.observed(NAMES), jax.Array)
    np.testing.assert_array_equal(on_device.observed(NAMES), batch.observed(NAMES))
    np.testing.assert_array_equal(
        jax.jit(lambda b: b.observed(NAMES))(batch), batch.observed(NAMES)
    )


def test_is_a_pytree_in_which_none_has_no_leaves(batch):
    # values and mask of two modalities, two presences, labels; no weight.
    assert len(jax.tree.leaves(batch)) == 7
    assert len(jax.tree.leaves(batch.replace(labels=None))) == 6
    first = jax.tree.map(lambda x: x[:1], batch)
    assert first.size == 1
    assert first.weight is None
    doubled = jax.jit(lambda b: b.replace(labels=2 * b.labels + 1))(batch)
    np.testing.assert_array_equal(doubled.labels, np.ones((3, 1)))
    np.testing.assert_array_equal(doubled.modalities["text"].mask, batch.modalities["text"].mask)


def test_vmaps_over_rows(batch):
    steps = jax.vmap(lambda b: b.modalities["audio"].mask.sum() * b.present["text"])(batch)
    np.testing.assert_array_equal(steps, [3, 0, 0])


def test_is_frozen(batch):
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.labels = None
