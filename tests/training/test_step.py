"""The optimisation step: what it reads, writes, measures and leaves alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import config
from lddu.data.batching import take
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.model import LDDU
from lddu.packing.plan import first_fit, lengths
from lddu.packing.structs import Packing, Rows
from lddu.training.optimizer import build_optimizer
from lddu.training.programs import over_data_set
from lddu.training.state import create_state
from lddu.training.step import build_forward, build_step, scanned

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)
CONFIG = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.encoder.dropout": 0.1,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "model.samples": 2,
        "loss.bank_size": 16,
        "train.average": 0.9,
        "train.feature_noise": 0.1,
        "train.modality_dropout": 0.2,
        "train.weight_decay": 0.5,
    },
)
OPTIMIZER = build_optimizer(CONFIG.train, 20)
ROWS, ONES = Rows(np.array([0, 1, 2, 3])), np.ones(4, np.float32)


# These programs run for milliseconds and compile for many seconds.
compiled = functools.partial(
    jax.jit, donate_argnums=0, compiler_options={"xla_backend_optimization_level": 0}
)


@pytest.fixture(scope="module")
def data():
    """Eight rows, each of weight 1."""
    batch = generate(8, config=LAW).batch.replace(weight=np.ones(8, np.float32))
    return jax.tree.map(jnp.asarray, batch)


@pytest.fixture(scope="module")
def step():
    return compiled(build_step(CONFIG, OPTIMIZER))


def new_state(data):
    key = jax.random.key(0, impl="rbg")
    return create_state(key, CONFIG, OPTIMIZER, take(data, ROWS.index), np.array([0.3, 0.6]))


def train(step, data, steps=3, key=1, rows=ROWS, weight=ONES):
    state, key = new_state(data), jax.random.key(key, impl="rbg")
    for _ in range(steps):
        state, measured = step(state, data, rows, weight, key)
    return state, measured


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_a_step_is_a_function_of_state_data_and_key(step, data):
    first, measured = train(step, data)
    again, _ = train(step, data)
    assert same(first, again)
    assert first.step == 3
    assert measured["rows"] == 4
    assert {"nll", "unimodal", "kl", "spread", "contrastive", "grad_norm"} <= set(measured)
    other, _ = train(step, data, key=2)
    assert not same(
        first.params["fusion"]["head"]["weight"], other.params["fusion"]["head"]["weight"]
    )
    assert not same(
        first.params["fusion"]["head"]["weight"], new_state(data).params["fusion"]["head"]["weight"]
    )


def test_state_is_donated_and_data_are_not(step, data):
    state = new_state(data)
    step(state, data, ROWS, ONES, jax.random.key(0, impl="rbg"))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(data))


def test_the_base_rate_is_not_trained(step, data):
    before, (after, _) = new_state(data), train(step, data)
    for params in (after.params, after.average):
        np.testing.assert_array_equal(
            before.params["fusion"]["head"]["prior_logit"], params["fusion"]["head"]["prior_logit"]
        )


def test_average_follows_the_parameters_and_forgets_the_first(step, data):
    states = [jax.tree.map(np.asarray, train(step, data, steps)[0]) for steps in range(1, 3)]
    average = new_state(data).average
    for i, state in enumerate(states):
        decay = min(0.9, (1 + i) / (10 + i))
        average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, state.params)
        close(state.average, average, atol=1e-6)
    assert not same(states[1].average, states[1].params)


def test_rows_of_weight_zero_do_not_count(step, data):
    weight = np.array([1, 1, 1, 0], np.float32)
    filled, measured = train(step, data, weight=weight)
    assert measured["rows"] == 3
    other, _ = train(step, data, weight=weight, rows=Rows(np.array([0, 1, 2, 7])))
    close(filled.params, other.params, rtol=1e-5, atol=1e-7)
    # An example's own weight does the same.
    by_weight, measured = train(step, data.replace(weight=data.weight.at[3].set(0.0)))
    assert measured["rows"] == 3
    close(filled.params, by_weight.params, rtol=1e-5, atol=1e-7)
    full, _ = train(step, data)
    assert not same(
        full.params["fusion"]["head"]["weight"], filled.params["fusion"]["head"]["weight"]
    )


def test_nothing_was_compiled_twice(step, data):
    train(step, data)
    assert step._cache_size() == 1


# ---- several steps in a call, and packed rows ---------------------------------------------------


def one_by_one(step, data, rows, weight, key):
    state, measured = new_state(data), []
    for k in range(len(weight)):
        one = jax.tree.map(lambda x, k=k: x[k], rows)
        state, terms = step(state, data, one, weight[k], key)
        measured.append(terms)
    return state, jax.tree.map(lambda *x: np.stack(x), *measured)


def taught(tree):
    """Without the biases of attention's keys: no softmax sees them, what moves them is rounding."""
    return jax.tree_util.tree_map_with_path(
        lambda path, x: x * ("['key']['bias']" not in jax.tree_util.keystr(path)), tree
    )


def test_several_steps_in_a_call_are_the_same_steps(step, data):
    rows = Rows(np.array([[0, 1, 2, 3], [4, 5, 6, 7], [1, 6, 3, 3]]))
    weight = np.ones((3, 4), np.float32)
    weight[2, 3] = 0
    key = jax.random.key(1, impl="rbg")
    want, terms = one_by_one(step, data, rows, weight, key)
    steps, state = compiled(scanned(build_step(CONFIG, OPTIMIZER))), new_state(data)
    got, measured = steps(state, data, rows, weight, key)
    other, _ = steps(new_state(data), data, rows, weight, jax.random.key(2, impl="rbg"))
    close(taught(got), taught(want), rtol=1e-5, atol=1e-6)
    assert set(measured) == set(terms)
    close(measured, terms, rtol=1e-5, atol=1e-6)
    assert got.step == 3
    assert measured["rows"].tolist() == [4, 4, 3]
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    # The draws do matter: those of another key lead elsewhere.
    head = [s.params["fusion"]["head"]["weight"] for s in (got, other)]
    assert np.abs(head[0] - head[1]).max() > 1e-3


# Few terms compile fast.
STILL = config.replace(
    CONFIG,
    {"model.samples": 0, "loss.spread": 0.0, "loss.unimodal": 0.0, "loss.kl": 0.0},
)


def short(data):
    """The same rows, most of them with a step or two of four, one with a gap, one with nothing."""
    masks = ["1000", "1100", "0100", "1111", "1000", "1011", "1100", "0000"]
    mask = jnp.array([[step == "1" for step in row] for row in masks])
    modality = data.modalities["x"]
    values = jnp.where(mask[..., None], modality.values, jnp.nan)
    return data.replace(modalities={"x": modality.replace(values=values, mask=mask)})


def test_a_packed_step_equals_a_padded_one(data):
    step = compiled(build_step(STILL, OPTIMIZER))
    data, rows = short(data), np.arange(8)
    slots, needed = first_fit(lengths(data, STILL.model)["x"][rows][None], 4)
    assert needed[0] == 4
    packed = Rows(rows, {"x": Packing(slots[0], 5)})  # one row stays empty
    results = []
    for way in (packed, Rows(rows, {"x": Packing(slots[0])})):  # dropout keyed alike
        key = jax.random.key(0, impl="rbg")
        state = new_state(data)
        measured = []
        for _ in range(2):
            state, terms = step(state, data, way, np.ones(8, np.float32), key)
            measured.append(terms)
        results.append((state, measured))
    assert step._cache_size() == 2
    # Parameters, their average, the optimiser's moments, the bank, and every term of the loss.
    close(*map(taught, results), rtol=1e-4, atol=1e-5)
    state, measured = results[0]
    assert (state.bank.classes >= 0).any()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((state.params, measured)))


def test_evaluation_in_batches_equals_one_call(data):
    params = jax.tree.map(lambda x: x[None], new_state(data).params)

    def forward(params, data, rows):
        one = jax.tree.map(lambda x: x[0], params)
        return build_forward(CONFIG)(one, data, rows)[None]

    # 8 rows in threes: the last batch is filled up.
    got = over_data_set(jax.jit(forward), CONFIG, data, batch_size=3)(params)
    want = jax.jit(LDDU(CONFIG.model).apply)({"params": new_state(data).params}, data).probs
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-5)
