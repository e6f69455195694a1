"""The official optimiser by hand; `test_golden.py` compares it with the official code."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lddu.official.optimizer import bert_adam, official_schedule


def first_update(gradients, params=None, **options):
    """The first update at a constant rate of 0.5, of which there is no warm-up."""
    options = {"total_steps": 10**9, "warmup": 0.0, "weight_decay": 0.0, **options}
    optimizer = bert_adam(0.5, **options)
    params = jax.tree.map(jnp.zeros_like, gradients) if params is None else params
    return optimizer.update(gradients, optimizer.init(params), params)


def test_the_schedule_rises_linearly_and_jumps_onto_the_cosine():
    schedule = official_schedule(2.0, 100, 0.1)
    steps = np.arange(0, 101)
    got = [float(schedule(jnp.asarray(step))) for step in steps]
    want = np.where(steps < 10, 2.0 * steps / 10, 1 + np.cos(np.pi * steps / 100))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_without_warmup_the_schedule_is_the_cosine():
    schedule = official_schedule(2.0, 4, 0.0)
    got = [float(schedule(jnp.asarray(step))) for step in range(5)]
    np.testing.assert_allclose(got, 1 + np.cos(np.pi * np.arange(5) / 4), rtol=1e-4, atol=1e-5)


def test_moments_are_not_corrected_for_their_start():
    gradient = np.array([0.1, -0.2, 0.0])
    updates, state = first_update({"bias": jnp.asarray(gradient)})
    mu, nu = 0.1 * gradient, 0.001 * gradient**2
    np.testing.assert_allclose(optax.tree.get(state, "mu")["bias"], mu, rtol=1e-4)
    np.testing.assert_allclose(optax.tree.get(state, "nu")["bias"], nu, rtol=1e-4)
    want = -0.5 * mu / (np.sqrt(nu) + 1e-6)
    np.testing.assert_allclose(updates["bias"], want, rtol=1e-4)


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        # Their norm of 100 comes down to 1, and then none is above 1 by itself.
        (60.0, 80.0, (0.6, 0.8)),
        (0.03, 0.04, (0.03, 0.04)),
    ],
)
def test_gradients_are_clipped_by_their_global_norm(a, b, want):
    _, state = first_update({"a": jnp.full(1, a), "b": jnp.full(1, b)})
    mu = optax.tree.get(state, "mu")
    np.testing.assert_allclose([mu["a"][0], mu["b"][0]], 0.1 * np.array(want), rtol=1e-4)


def test_weight_decay_is_decoupled_and_leaves_out_biases_norms_and_the_prior():
    names = ("kernel", "weight", "positions", "label_embeddings", "bias", "scale", "prior_logit")
    params = {name: jnp.full(2, 3.0) for name in names}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = first_update(zeros, params, weight_decay=0.1)
    for name, update in updates.items():
        decays = name not in ("bias", "scale", "prior_logit")
        np.testing.assert_allclose(update, -0.5 * 0.1 * 3.0 if decays else 0.0, rtol=1e-5)


def test_moments_have_buffers_of_their_own():
    # A training step donates them, each once.
    params = {"kernel": jnp.zeros((2, 2))}
    state = bert_adam(0.1, total_steps=10).init(params)
    mu, nu = optax.tree.get(state, "mu"), optax.tree.get(state, "nu")
    assert mu["kernel"].unsafe_buffer_pointer() != nu["kernel"].unsafe_buffer_pointer()
