"""One step: the program of the trainer `alone`, whose leaves have a leading axis of one member."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.packing.plan import lengths
from lddu.training.state import TrainState
from lddu.training.step import scanned

INDEX, ONES = np.array([0, 1, 2, 3, 4, 5, 6, 7]), np.ones(8, np.float32)


@pytest.fixture
def train(alone):
    """train(steps=2, member=0, data=..., index=..., weight=...) -> (states, measurements)."""
    trainer = alone.trainer

    def run(steps=2, member=0, data=None, index=INDEX, weight=ONES):
        state = trainer._start([0])[0]
        keys = trainer._start([member])[2]
        data = trainer._train if data is None else data
        rows, _ = next(trainer._packer.calls(index[None, None]))
        states = []
        for _ in range(steps):
            state, measured = trainer.programs.step(state, data, rows, weight, keys)
            states.append(jax.device_get(state))
        return states, jax.device_get(measured)

    return run


def head(state):
    return state.params["fusion"]["head"]["weight"]


def test_a_step_is_a_function_of_state_data_and_key(train, alone, data):
    (*_, state), measured = train()
    (*_, again), _ = train()
    jax.tree.map(np.testing.assert_array_equal, state, again)
    assert state.step == 2
    np.testing.assert_allclose(measured["weight"], data[0].weight[:8].sum(), rtol=1e-5)
    terms = {"nll", "unimodal", "kl", "spread", "contrastive", "grad_norm"}
    assert terms <= set(measured)
    (*_, other), _ = train(member=1)
    assert (head(state) != head(other)).any()
    assert (head(state) != head(alone.trainer._start([0])[0])).any()


def test_state_is_donated_and_data_are_not(alone):
    trainer = alone.trainer
    state, _, keys = trainer._start([0])
    rows, _ = next(trainer._packer.calls(INDEX[None, None]))
    trainer.programs.step(state, trainer._train, rows, ONES, keys)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(trainer._train))


def test_the_base_rate_is_not_trained(train, alone):
    before = alone.trainer._start([0])[0]
    (*_, after), _ = train()
    for params in (after.params, after.average):
        np.testing.assert_array_equal(
            before.params["fusion"]["head"]["prior_logit"], params["fusion"]["head"]["prior_logit"]
        )


def test_average_follows_the_parameters_and_forgets_the_first(train, alone):
    states, _ = train()
    average = jax.device_get(alone.trainer._start([0])[0].average)
    for i, state in enumerate(states):
        decay = min(0.9, (1 + i) / (10 + i))
        average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, state.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            state.average,
            average,
        )
    assert (states[-1].average["fusion"]["head"]["weight"] != head(states[-1])).any()


def test_rows_of_weight_zero_do_not_count(train, alone, data, tree_close):
    compiled = alone.trainer.programs.step.jitted._cache_size()
    weight = np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32)
    # Of the same length, so that the other rows keep their places in the packing plan, which key
    # dropout.
    last = lengths(data[0], alone.trainer.config.model)["x"]
    other_row = 8 + np.flatnonzero(last[8:] == last[7])[0]
    (*_, filled), measured = train(weight=weight)
    np.testing.assert_allclose(measured["weight"], data[0].weight[:7].sum(), rtol=1e-5)
    (*_, other), _ = train(weight=weight, index=np.array([*INDEX[:7], other_row]))
    tree_close(filled.params, other.params)
    # A sample's own weight does the same.
    placed = alone.trainer._train
    zero = placed.batch.replace(weight=placed.batch.weight.at[7].set(0.0))
    (*_, by_weight), measured = train(data=placed._replace(batch=zero))
    np.testing.assert_allclose(measured["weight"], data[0].weight[:7].sum(), rtol=1e-5)
    tree_close(filled.params, by_weight.params)
    (*_, full), _ = train()
    assert np.abs(head(full) - head(filled)).max() > 1e-3
    assert alone.trainer.programs.step.jitted._cache_size() == compiled


def test_labels_of_rows_without_weight_leave_no_trace(train, alone):
    """Bit by bit, for unknown labels, other values, and NaN with other bits."""
    placed, weight = alone.trainer._train, np.array([1, 0, 1, 1, 0, 1, 1, 1], np.float32)
    garbage = np.array([[np.nan, np.nan], [1, 0], [0.25, np.nan]], np.float32)
    states = []
    for values in garbage:
        labels = np.array(placed.batch.labels)
        labels[2, 0] = np.nan  # also an entry of a row that counts
        labels[[1, 4]] = values
        if values[0] == 1:
            labels.view(np.uint32)[2, 0] = 0xFFC12345
        batch = placed.batch.replace(labels=jnp.asarray(labels))
        (*_, state), measured = train(data=placed._replace(batch=batch), weight=weight)
        counted = np.array(batch.weight)[:8] * weight
        want = counted.sum() - 0.5 * counted[2]
        np.testing.assert_allclose(measured["weight"], want, rtol=1e-5)
        states.append((state, measured))
    chex.assert_tree_all_finite([s.params for s, _ in states])
    for other in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, states[0], other)
    (*_, known), _ = train(weight=weight)
    assert (head(known) != head(states[0][0])).any()


def test_scanned_steps_are_the_same_steps():
    def step(state, data, rows, weight, key):
        moved = state + jax.random.uniform(jax.random.fold_in(key, state.astype(int)))
        return moved + data[rows].sum(), {"weight": weight.sum(), "state": state}

    data, key = jnp.arange(6.0), jax.random.key(0)
    rows = jnp.array([[0, 1], [2, 3], [4, 4]])
    weight = jnp.array([[1, 1], [1, 1], [1, 0]])
    want, measured = jnp.zeros(()), []
    for k in range(3):
        want, terms = step(want, data, rows[k], weight[k], key)
        measured.append(terms)
    got, together = scanned(step)(jnp.zeros(()), data, rows, weight, key)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert together["weight"].tolist() == [2, 2, 1]
    np.testing.assert_allclose(together["state"], [t["state"] for t in measured], rtol=1e-5)


def test_the_state_counts_its_steps_on_every_member(pair):
    assert isinstance(pair.state, TrainState)
    assert pair.state.step.tolist() == [6, 6]
