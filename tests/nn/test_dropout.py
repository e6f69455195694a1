import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from lddu.nn.dropout import Dropout, drop, hashed_bits

KEY = jax.random.key(3)
ROWS, WIDTH = 512, 256
# Compiled without optimisation: these programs run for microseconds and compile for seconds.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def many_bits():
    """Jitted: (8, ROWS, WIDTH) bits of eight keys."""
    return jit(jax.vmap(functools.partial(hashed_bits, shape=(ROWS, WIDTH))))


def bits_of(seeds, then=lambda key: key, impl="threefry2x32"):
    keys = jnp.stack([then(jax.random.key(seed, impl=impl)) for seed in seeds])
    return np.asarray(many_bits()(keys))


def mixed(x, word=0):
    """The mixer in Python's integers."""
    full = 2**32 - 1
    x = (x ^ (x >> 16)) * 0x21F0AAAD & full
    x = (x ^ (x >> 15)) + word & full
    x = (x ^ (x >> 16)) * 0x735A2D97 & full
    return x ^ (x >> 15)


def correlated(a, b):
    """Largest correlation over pairs of rows (pairs, ...), in standard deviations of chance."""
    a, b = (np.reshape(x, (len(x), -1)).astype(np.float64) for x in (a, b))
    a, b = ((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in (a, b))
    return np.abs((a * b).mean(1)).max() * np.sqrt(a.shape[1])


# ---- the bits -----------------------------------------------------------------------------------


@given(first=st.integers(0, 2**32 - 1), second=st.integers(0, 2**32 - 1))
def test_bits_equal_the_mixer_in_plain_integers(first, second):
    key = np.array([first, second], np.uint32)
    after = mixed(second)
    start = mixed((first + after) % 2**32)
    want = [[mixed((start + 3 * i + j) % 2**32, after) for j in range(3)] for i in range(2)]
    np.testing.assert_array_equal(hashed_bits(jnp.asarray(key), (2, 3)), want)


def test_the_mixer_is_a_permutation():
    x = np.unique([mixed(i) for i in range(1 << 16)])
    assert len(x) == 1 << 16


def test_every_bit_is_fair():
    bits = bits_of(range(8)).reshape(8, -1)
    number = bits.shape[1]
    shares = np.stack([((bits >> i) & 1).mean(1) for i in range(32)])
    # 256 means: five standard deviations are chance once in 7,000.
    assert np.abs(shares - 0.5).max() < 5 * 0.5 / np.sqrt(number)


@pytest.mark.parametrize("shift", [24, 16, 8])
def test_bytes_are_uniform(shift):
    for bits in bits_of(range(8)):
        counts = np.bincount((bits.ravel() >> shift) & 255, minlength=256)
        assert 1e-4 < chisquare(counts).pvalue < 1 - 1e-4


@pytest.mark.parametrize("rate", [None, 0.1, 0.5])
def test_neighbours_and_rows_are_uncorrelated(rate):
    bits = bits_of(range(8))
    bits = bits if rate is None else bits >= rate * 2**32
    for step in (1, 2, 64):
        assert correlated(bits[:, :, step:], bits[:, :, :-step]) < 4.5
        assert correlated(bits[:, step:], bits[:, :-step]) < 4.5


RELATED = {
    "fold_in": lambda key: jax.random.fold_in(key, 1),
    "split": lambda key: jax.random.split(key)[0],
}


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("rate", [None, 0.1, 0.5])
def test_related_keys_are_uncorrelated(rate, impl):
    bits = {"": bits_of(range(8), impl=impl), "next": bits_of(range(1, 9), impl=impl)}
    for name, then in RELATED.items():
        bits[name] = bits_of(range(8), then, impl)
    if rate is not None:
        bits = {name: x >= rate * 2**32 for name, x in bits.items()}
    for name in ("next", *RELATED):
        assert correlated(bits[""], bits[name]) < 4.5
    assert correlated(bits["fold_in"], bits["split"]) < 4.5
    # Nor is one a shifted copy of the other.
    assert correlated(bits[""][:, 1:], bits["next"][:, :-1]) < 4.5


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_typed_and_raw_keys_draw_the_same(impl):
    key = jax.random.key(7, impl=impl)
    raw = jax.random.key_data(key)
    np.testing.assert_array_equal(hashed_bits(key, (5, 3)), hashed_bits(raw, (5, 3)))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_each_key_draws_what_it_draws_alone_under_jit_and_vmap(impl):
    keys = jax.random.split(jax.random.key(7, impl=impl), 4)
    alone = np.stack([hashed_bits(key, (5, 3)) for key in keys])
    run = jax.vmap(lambda key: hashed_bits(key, (5, 3)))
    for got in (run(keys), jit(run)(keys)):
        np.testing.assert_array_equal(got, alone)
    assert len(np.unique(alone)) == alone.size


def test_more_elements_than_hashes_are_refused():
    def shape(*sizes):
        return jax.eval_shape(lambda key: hashed_bits(key, sizes), KEY).shape  # takes no memory

    assert shape(2**16, 2**16 - 1) == (2**16, 2**16 - 1)
    with pytest.raises(ValueError, match=r"\(65536, 65536\) has more elements"):
        shape(2**16, 2**16)


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_scalars_and_nothing(shape):
    bits = hashed_bits(KEY, shape)
    assert (bits.shape, bits.dtype) == (shape, jnp.uint32)


# ---- dropout ------------------------------------------------------------------------------------


@functools.cache
def dropped(rate):
    """Eight keys' dropout of ones, (8, ROWS, WIDTH)."""
    x = jnp.ones((ROWS, WIDTH))
    keys = jax.random.split(KEY, 8)
    return np.asarray(jit(jax.vmap(lambda key: drop(key, x, rate)))(keys))


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_kept_and_so_is_the_mean(rate):
    x = dropped(rate)
    kept = x > 0
    np.testing.assert_allclose(x[kept], 1 / (1 - rate), rtol=1e-6)
    deviation = np.sqrt(rate * (1 - rate) / x[0].size)
    assert np.abs(kept.mean((1, 2)) - (1 - rate)).max() < 4.5 * deviation
    assert np.abs(x.mean((1, 2), dtype=np.float64) - 1).max() < 4.5 * deviation / (1 - rate)


@pytest.mark.parametrize("rate", [1 - 1e-12, 1e-12])
def test_rates_at_the_ends(rate):
    x = np.asarray(drop(KEY, jnp.ones(64), rate))
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(x == 0, rate > 0.5)


def test_the_gradient_is_the_mask_scaled():
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    run = jit(jax.value_and_grad(lambda x: (drop(KEY, x, 0.3) * x).sum()))
    mask = np.asarray(drop(KEY, jnp.ones_like(x), 0.3)) > 0
    value, slope = run(x)
    np.testing.assert_allclose(value, (mask * x**2).sum() / 0.7, rtol=1e-5)
    np.testing.assert_allclose(slope, 2 * mask * x / 0.7, rtol=1e-5)


def test_what_is_dropped_may_be_anything():
    ones = drop(KEY, jnp.ones(100), 0.5)
    x = jnp.where(ones == 0, jnp.nan, 1.0)
    np.testing.assert_array_equal(drop(KEY, x, 0.5), ones)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_type_is_kept_and_the_draws_do_not_depend_on_it(dtype):
    x = jnp.ones((20, 30), dtype)
    y = drop(KEY, x, 0.3)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y == 0, drop(KEY, jnp.ones((20, 30)), 0.3) == 0)
    np.testing.assert_allclose(y[y != 0].astype(np.float32), 1 / 0.7, rtol=2**-8)


class TestModule:
    x = np.ones((4, 5), np.float32)

    @pytest.mark.parametrize(("rate", "deterministic"), [(0.0, False), (0.5, True), (0.0, True)])
    def test_needs_no_key_where_nothing_is_dropped(self, rate, deterministic):
        assert Dropout(rate).apply({}, self.x, deterministic) is self.x

    def test_needs_a_key_where_something_is(self):
        with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
            Dropout(0.5).apply({}, self.x, False)

    def test_draws_by_key(self):
        one, again, other = (
            Dropout(0.5).apply({}, self.x, False, rngs={"dropout": jax.random.key(k)})
            for k in (0, 0, 1)
        )
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
        assert set(np.unique(one)) == {0.0, 2.0}
