import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from lddu.nn.dropout import Dropout, drop, hashed_bits, in_order, step_elements, weight_elements
from lddu.packing.layout import Packed, Padded
from lddu.packing.structs import Packing, Places

KEY = jax.random.key(3)
ROWS, WIDTH = 512, 256
CHANCE = 7.0  # standard deviations; of some hundred correlations, less than once in a billion


@functools.cache
def many_bits():
    """The jitted bits of eight keys, (8, ROWS, WIDTH)."""
    return jax.jit(jax.vmap(lambda key: hashed_bits(key, in_order((ROWS, WIDTH)))))


@functools.cache
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


word = st.integers(0, 2**32 - 1)
small_bits = jax.jit(hashed_bits)


@given(first=word, second=word, elements=st.lists(word, min_size=3, max_size=3))
@settings(max_examples=30)
def test_bits_equal_the_mixer_in_plain_integers(first, second, elements):
    key = np.array([first, second], np.uint32)
    after = mixed(second)
    start = mixed((first + after) % 2**32)
    want = [mixed((start + i) % 2**32, after) for i in elements]
    np.testing.assert_array_equal(small_bits(key, np.array(elements, np.uint32)), want)


def test_the_mixer_is_a_permutation():
    x = np.unique([mixed(i) for i in range(1 << 16)])
    assert len(x) == 1 << 16


def test_every_bit_is_fair():
    bits = bits_of(range(8)).reshape(8, -1)
    number = bits.shape[1]
    shares = np.stack([((bits >> i) & 1).mean(1) for i in range(32)])
    # 256 means: seven standard deviations are chance less than once in a billion.
    assert np.abs(shares - 0.5).max() < 7 * 0.5 / np.sqrt(number)


@pytest.mark.parametrize("shift", [24, 16, 8])
def test_bytes_are_uniform(shift):
    for bits in bits_of(range(8)):
        counts = np.bincount((bits.ravel() >> shift) & 255, minlength=256)
        assert 1e-9 < chisquare(counts).pvalue < 1 - 1e-9


@pytest.mark.parametrize("rate", [None, 0.1, 0.5])
def test_neighbours_and_rows_are_uncorrelated(rate):
    bits = bits_of(range(8))
    bits = bits if rate is None else bits >= rate * 2**32
    for step in (1, 2, 64):
        assert correlated(bits[:, :, step:], bits[:, :, :-step]) < CHANCE
        assert correlated(bits[:, step:], bits[:, :-step]) < CHANCE


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
        assert correlated(bits[""], bits[name]) < CHANCE
    assert correlated(bits["fold_in"], bits["split"]) < CHANCE
    # Nor is one a shifted copy of the other.
    assert correlated(bits[""][:, 1:], bits["next"][:, :-1]) < CHANCE


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_typed_and_raw_keys_draw_the_same(impl):
    key = jax.random.key(7, impl=impl)
    raw = jax.random.key_data(key)
    elements = in_order((5, 3))
    np.testing.assert_array_equal(small_bits(key, elements), small_bits(raw, elements))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_each_key_draws_what_it_draws_alone_under_jit_and_vmap(impl):
    keys = jax.random.split(jax.random.key(7, impl=impl), 4)
    elements = in_order((5, 3))
    alone = np.stack([small_bits(key, elements) for key in keys])
    run = jax.vmap(lambda key: hashed_bits(key, elements))
    for got in (run(keys), jax.jit(run)(keys)):
        np.testing.assert_array_equal(got, alone)
    assert len(np.unique(alone)) == alone.size


def test_more_elements_than_hashes_are_refused():
    def shape(*sizes):
        return jax.eval_shape(lambda: in_order(sizes)).shape  # takes no memory

    assert shape(2**16, 2**16 - 1) == (2**16, 2**16 - 1)
    with pytest.raises(ValueError, match=r"\(65536, 65536\) has 2\*\*32 elements or more"):
        shape(2**16, 2**16)


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_scalars_and_nothing(shape):
    bits = jax.jit(lambda key: hashed_bits(key, in_order(shape)))(KEY)
    assert (bits.shape, bits.dtype) == (shape, jnp.uint32)


# ---- the numbers of elements --------------------------------------------------------------------

SAMPLES, STEPS, FEATURES, HEADS = 4, 5, 3, 2
LENGTHS = np.array([2, 5, 0, 3])
MASK = np.arange(STEPS) < LENGTHS[:, None]
SLOTS = np.array([3, 5, 0, 0])  # sample 3, then 0 in the first row, 1 in the second


@functools.partial(jax.jit, static_argnums=1)
def numbered(places, rows):
    """Numbers of all steps' features and of all attention weights."""
    return (
        step_elements(places, (rows, STEPS, FEATURES)),
        weight_elements(places, (rows, HEADS, STEPS, STEPS)),
    )


@jax.jit
def layouts():
    return Padded(jnp.asarray(MASK)).places, Packed(MASK, Packing(SLOTS, 2)).places


def test_places_of_padded_rows_number_elements_in_row_major_order():
    steps, weights = numbered(layouts()[0], SAMPLES)
    np.testing.assert_array_equal(steps, in_order((SAMPLES, STEPS, FEATURES)))
    np.testing.assert_array_equal(weights, in_order((SAMPLES, HEADS, STEPS, STEPS)))
    assert steps.dtype == weights.dtype == np.uint32


def test_steps_have_the_same_numbers_in_packed_rows_and_in_a_plan_that_is_not_carried_out():
    planned = Padded(jnp.asarray(MASK), jnp.asarray(SLOTS)).places
    steps, weights = (np.asarray(x) for x in numbered(layouts()[1], 2))
    padded_steps, padded_weights = (np.asarray(x) for x in numbered(planned, SAMPLES))
    np.testing.assert_array_equal(steps.ravel(), np.arange(steps.size))
    for sample, length in enumerate(LENGTHS):
        row, first = divmod(SLOTS[sample], STEPS)
        here = slice(first, first + length)
        np.testing.assert_array_equal(steps[row, here], padded_steps[sample, :length])
        np.testing.assert_array_equal(
            weights[row, :, here, here], padded_weights[sample, :, :length, :length]
        )


def test_numbers_wrap_and_do_not_overflow():
    far = Places(np.full((1, STEPS), 2**20), np.arange(STEPS)[None])
    _, weights = numbered(far, 1)
    places = 2**20 * HEADS * STEPS * STEPS + np.arange(HEADS * STEPS * STEPS)
    np.testing.assert_array_equal(weights.ravel(), places % 2**32)
    big = Places(np.full((1, 1), 2**30), np.zeros((1, 1), int))
    assert step_elements(big, (1, 1, 8)).ravel().tolist() == list(range(8))


def test_attention_weights_are_of_as_many_queries_as_keys():
    with pytest.raises(AssertionError):
        weight_elements(layouts()[0], (SAMPLES, HEADS, STEPS, STEPS + 1))


# ---- dropout ------------------------------------------------------------------------------------


@functools.cache
def dropped(rate):
    """Eight keys' dropout of ones, (8, ROWS, WIDTH)."""
    x = jnp.ones((ROWS, WIDTH))
    keys = jax.random.split(KEY, 8)
    return np.asarray(jax.jit(jax.vmap(lambda key: drop(key, x, rate)))(keys))


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.3, 0.5, 0.9])
def test_the_rate_is_kept_and_so_is_the_mean(rate):
    x = dropped(rate)
    kept = x > 0
    np.testing.assert_allclose(x[kept], 1 / (1 - rate), rtol=1e-5)
    deviation = np.sqrt(rate * (1 - rate) / x[0].size)
    assert np.abs(kept.mean((1, 2)) - (1 - rate)).max() < CHANCE * deviation
    assert np.abs(x.mean((1, 2), dtype=np.float64) - 1).max() < CHANCE * deviation / (1 - rate)


@pytest.mark.parametrize("rate", [1 - 1e-12, 1e-12])
def test_rates_at_the_ends(rate):
    x = np.asarray(jax.jit(lambda x: drop(KEY, x, rate))(np.ones(64, np.float32)))
    assert np.isfinite(x).all()
    np.testing.assert_array_equal(x == 0, rate > 0.5)


def test_the_gradient_is_the_mask_scaled():
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    run = jax.jit(jax.value_and_grad(lambda x: (drop(KEY, x, 0.3) * x).sum()))
    value, slope = run(x)
    mask = np.asarray(slope != 0)
    np.testing.assert_allclose(value, (mask * x**2).sum(dtype=np.float64) / 0.7, rtol=1e-4)
    np.testing.assert_allclose(slope, 2 * mask * x / 0.7, rtol=1e-5)


def test_what_is_dropped_may_be_anything():
    run = jax.jit(lambda x: drop(KEY, x, 0.5))
    ones = np.asarray(run(np.ones(100, np.float32)))
    filled = np.where(ones == 0, np.float32(np.nan), np.float32(1.0))
    np.testing.assert_array_equal(run(filled), ones)


def test_the_type_is_kept_and_the_draws_do_not_depend_on_it():
    kinds = [jnp.bfloat16, jnp.float16, jnp.float32]
    drawn = jax.jit(lambda: [drop(KEY, jnp.ones((20, 30), kind), 0.3) for kind in kinds])()
    for kind, y in zip(kinds, drawn, strict=True):
        assert y.dtype == kind
        y = np.asarray(y, np.float32)
        np.testing.assert_array_equal(y == 0, drawn[2] == 0)
        np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=2**-7)


class TestModule:
    x = np.ones((4, 5), np.float32)

    @pytest.mark.parametrize(("rate", "deterministic"), [(0.0, False), (0.5, True), (0.0, True)])
    def test_needs_no_key_where_nothing_is_dropped(self, rate, deterministic):
        assert Dropout(rate).apply({}, self.x, deterministic) is self.x

    def test_needs_a_key_where_something_is(self):
        with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
            Dropout(0.5).apply({}, self.x, False)

    def test_draws_by_key(self):
        run = jax.jit(lambda key: Dropout(0.5).apply({}, self.x, False, rngs={"dropout": key}))
        one, again, other = (run(jax.random.key(k)) for k in (0, 0, 1))
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()
        assert set(np.unique(one)) == {0.0, 2.0}

    def test_with_places_draws_by_the_plan(self):
        @jax.jit
        def run(x):
            def dropped(x, places):
                return Dropout(0.5).apply({}, x, False, places, rngs={"dropout": KEY})

            layout = Packed(MASK, Packing(SLOTS, 2))
            packed = layout.unpack(dropped(layout.pack(x), layout.places))
            planned = dropped(x, Padded(jnp.asarray(MASK), SLOTS).places)
            return dropped(x, None), dropped(x, Padded(jnp.asarray(MASK)).places), planned, packed

        ones = np.ones((SAMPLES, STEPS, FEATURES), np.float32)
        in_order, padded, planned, packed = run(ones)
        np.testing.assert_array_equal(in_order, padded)
        np.testing.assert_array_equal(packed[MASK], planned[MASK])
        assert set(np.unique(padded[MASK])) == {0.0, 2.0}
