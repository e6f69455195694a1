import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lddu import config
from lddu.config import TrainConfig
from lddu.model import LDDU
from lddu.structs import Batch, Modality
from lddu.training.optimizer import build_optimizer, decayed

OPTIMIZERS = ["adamw", "bert_adam"]


@pytest.fixture(scope="module")
def params():
    """Parameters of a model that has every kind of layer, all ones."""
    cfg = config.tiny({"x": (3, 4)}, ["a", "b"])
    cfg = config.replace(cfg, {"model.statistics": 4}).model
    batch = Batch(
        {"x": Modality(jnp.zeros((1, 4, 3)), jnp.ones((1, 4), bool))}, {"x": jnp.ones(1, bool)}
    )
    shapes = jax.eval_shape(lambda: LDDU(cfg).init(jax.random.key(0), batch)["params"])
    return jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)


def last_names(tree, where):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path[-1].key for path, leaf in leaves if where(leaf)}


def test_only_matrices_decay(params):
    mask = decayed(params)
    assert last_names(mask, lambda m: m) == {"kernel", "weight"}
    assert last_names(mask, lambda m: not m) == {
        "bias",
        "scale",
        "positions",
        "label_embeddings",
        "prior_logit",
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_gradients_only_the_decaying_parameters_move(name):
    params = {name: jnp.ones((2, 2)) for name in ("kernel", "weight", "bias")}
    params |= {name: jnp.ones(2) for name in ("scale", "prior_logit")}
    optimizer = build_optimizer(
        TrainConfig(optimizer=name, learning_rate=0.1, weight_decay=0.5), total_steps=10
    )
    state, update, new = optimizer.init(params), jax.jit(optimizer.update), params
    for _ in range(3):
        updates, state = update(jax.tree.map(jnp.zeros_like, params), state, new)
        new = optax.apply_updates(new, updates)
    assert {name for name in params if (new[name] < 1).all()} == {"kernel", "weight"}
    assert {name for name in params if (new[name] == 1).all()} == {"bias", "scale", "prior_logit"}


def rates(cfg, total, steps):
    """Learning rates: with a constant gradient AdamW moves by exactly the rate."""
    params = {"bias": jnp.zeros(1)}
    optimizer = build_optimizer(cfg, total)
    state, update, out = optimizer.init(params), jax.jit(optimizer.update), []
    for _ in range(steps):
        updates, state = update({"bias": jnp.ones(1)}, state, params)
        out.append(-float(updates["bias"][0]))
    return np.array(out)


def test_schedule_rises_linearly_and_ends_at_zero():
    got = rates(TrainConfig(learning_rate=0.5, warmup=0.2), total=50, steps=51)
    np.testing.assert_allclose(got[:11], 0.05 * np.arange(11), atol=1e-5)
    cosine = 0.25 * (1 + np.cos(np.pi * np.arange(41) / 40))
    np.testing.assert_allclose(got[10:], cosine, atol=1e-5)
    assert got[50] == 0


@pytest.mark.parametrize("warmup", [0.0, 0.9])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_very_short_schedules_are_finite(total, warmup):
    got = rates(TrainConfig(learning_rate=0.5, warmup=warmup), total, total + 2)
    assert np.isfinite(got).all()
    assert got.min() >= 0
    assert got.max() <= 0.5 + 1e-6


def test_gradients_are_clipped_by_their_global_norm():
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    optimizer = build_optimizer(TrainConfig(clip_norm=0.5), 10)
    update = jax.jit(optimizer.update)
    for size, norm in ((1e3, 0.5), (0.01, 0.05)):
        gradients = {"a": jnp.full(1, 3 * size), "b": jnp.full(1, 4 * size)}
        _, state = update(gradients, optimizer.init(params), params)
        moment = optax.tree.get(state, "mu")  # 0.1 times the clipped gradient
        np.testing.assert_allclose(10 * optax.tree.norm(moment), norm, rtol=1e-5)
        np.testing.assert_allclose(moment["b"] / moment["a"], 4 / 3, rtol=1e-5)
