import jax
import numpy as np
import pytest

from lddu.draws import unbatched


def normal(key):
    return unbatched(lambda key: jax.random.normal(key, (3,)), key)


@pytest.fixture(params=["rbg", "threefry2x32"])
def keys(request):
    """(2, 3) keys."""
    return jax.random.split(jax.random.key(0, impl=request.param), 6).reshape(2, 3)


def test_a_single_key_draws_as_without(keys):
    key = keys[0, 0]
    np.testing.assert_array_equal(normal(key), jax.random.normal(key, (3,)))


@pytest.mark.parametrize("jit", [False, True])
def test_vectorised_keys_draw_what_each_draws_alone(keys, jit):
    want = np.stack([normal(key) for key in keys[0]])
    draw = jax.vmap(normal)
    np.testing.assert_array_equal((jax.jit(draw) if jit else draw)(keys[0]), want)
    assert len(np.unique(want)) == want.size


@pytest.mark.parametrize("in_axes", [(0, 0), (1, 0)])
def test_so_do_keys_that_are_vectorised_twice(keys, in_axes):
    outer, inner = in_axes
    draws = jax.vmap(jax.vmap(normal, in_axes=inner), in_axes=outer)(keys)
    want = np.stack([np.stack([normal(key) for key in row]) for row in keys])
    np.testing.assert_array_equal(draws, want if outer == 0 else want.transpose(1, 0, 2))


def test_a_key_that_all_share_draws_once(keys):
    def scaled(factor, key):
        return factor * normal(key)

    draws = jax.vmap(scaled, in_axes=(0, None))(np.array([1.0, 2.0], np.float32), keys[0, 0])
    np.testing.assert_array_equal(draws[1], 2 * draws[0])


def test_folded_and_split_keys_inside_a_vectorised_function(keys):
    def draw(key):
        first, second = jax.random.split(jax.random.fold_in(key, 5))
        return normal(first) + normal(second)

    want = np.stack([draw(key) for key in keys[0]])
    np.testing.assert_allclose(jax.vmap(draw)(keys[0]), want, rtol=1e-5, atol=1e-6)


def test_inside_a_scan(keys):
    def draw(key):
        step = jax.lax.scan(lambda c, k: (c, normal(jax.random.fold_in(key, k))), 0, np.arange(2))
        return step[1]

    want = np.stack([draw(key) for key in keys[0]])
    np.testing.assert_array_equal(jax.vmap(draw)(keys[0]), want)
