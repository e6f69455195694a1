import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from lddu.nn import attention
from lddu.nn.attention import attend, masked_softmax
from lddu.nn.dropout import drop

LENGTH = 6
STEPS = np.array([6, 4, 1, 0])  # the last row is all padding
MASK = np.arange(LENGTH) < STEPS[:, None]

# Compiled without optimisation: these programs run for microseconds and compile for seconds.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
logits = hnp.arrays(np.float32, (5, 4), elements=st.floats(-1e4, 1e4, width=32))
masks = hnp.arrays(bool, (5, 4))


def draw(queries, keys, batch=2, heads=2, width=4, seed=0):
    """Query, key and value."""
    rng = np.random.default_rng(seed)
    sizes = (queries, keys, keys)
    return [rng.normal(size=(batch, n, heads, width)).astype(np.float32) for n in sizes]


def values_in(jaxpr):
    """Every array that a traced function computes, those of functions inside it too."""
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                    yield from values_in(inner)
        for variable in equation.outvars:
            yield equation.primitive.name, variable.aval


# ---- masked softmax -----------------------------------------------------------------------------


@given(x=logits, mask=masks)
@settings(max_examples=40, deadline=None)
def test_masked_softmax_equals_scipy_on_the_subset(x, mask):
    got = np.asarray(masked_softmax(x, mask))
    want = np.zeros_like(x)
    for row in range(len(x)):
        if mask[row].any():
            want[row, mask[row]] = softmax(x[row, mask[row]].astype(np.float64))
    np.testing.assert_allclose(got, want, atol=1e-6)
    np.testing.assert_array_equal(got[~mask], 0)


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf, 1e38])
def test_masked_softmax_ignores_what_is_masked(hidden):
    x = jnp.array([[1.0, hidden, 2.0], [hidden, hidden, hidden], [-1e38, hidden, -1e38]])
    mask = jnp.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
    cost = jnp.array([1.0, 2.0, 3.0])
    value, slope = jax.value_and_grad(lambda x: (masked_softmax(x, mask) * cost).sum())(x)
    p = softmax([1.0, 2.0])
    np.testing.assert_allclose(value, p @ [1, 3] + 2.0, rtol=1e-6)
    # d(p . c)/dx_i = p_i (c_i - p . c); nothing reaches masked places.
    want = np.zeros((3, 3))
    want[0, [0, 2]] = p * (np.array([1, 3]) - p @ [1, 3])
    want[2, [0, 2]] = [-0.5, 0.5]
    np.testing.assert_allclose(slope, want, atol=1e-6)


# ---- the full and the blocked form --------------------------------------------------------------


@pytest.mark.parametrize("form", ["full", "blocked"])
@pytest.mark.parametrize("seed", range(2))
def test_attend_equals_jax_and_a_numpy_loop(seed, form, monkeypatch):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocks of one row
    query, key, value = draw(5, LENGTH, batch=4, width=3, seed=seed)
    got = attend(query, key, value, MASK, None, 0.5, form)
    np.testing.assert_array_equal(got[-1], 0)
    want = jax.nn.dot_product_attention(query, key, value, mask=MASK[:, None, None, :])
    np.testing.assert_allclose(got[:-1], want[:-1], atol=1e-6)
    want = nn.dot_product_attention(query, key, value, mask=MASK[:, None, None, :])
    np.testing.assert_allclose(got[:-1], want[:-1], atol=1e-6)
    for b, s, h in np.ndindex(3, 5, 2):
        t = STEPS[b]
        p = softmax(key[b, :t, h] @ query[b, s, h] / np.sqrt(3))
        np.testing.assert_allclose(got[b, s, h], p @ value[b, :t, h], atol=1e-6)


@pytest.mark.parametrize(
    ("queries", "keys", "per_query"), [(7, 7, False), (7, 7, True), (13, 9, False), (1, 5, 1)]
)
def test_blocked_equals_full_in_values_and_gradients(queries, keys, per_query, monkeypatch):
    # Two rows in a block: the last of three blocks is filled up.
    monkeypatch.setattr(attention, "_WEIGHTS", 2 * 2 * queries * keys)
    rng = np.random.default_rng(1)
    arrays = draw(queries, keys, batch=5)
    mask = rng.random((5, queries, keys) if per_query else (5, keys)) < 0.5
    mask[1, :3] = False  # queries without any key, and keys that nothing attends to
    mask = np.zeros_like(mask) if queries == 1 else mask
    weight = rng.normal(size=arrays[0].shape).astype(np.float32)

    def total(arrays, form):
        out = attend(*arrays, mask, form=form)
        return (out * weight).sum(), out

    @jit
    def both(arrays):
        run = jax.value_and_grad(total, has_aux=True)
        return run(arrays, "full"), run(arrays, "blocked")

    full, blocked = both(arrays)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), blocked, full)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((full, blocked)))
    alone = ~mask.any(-1) if per_query else np.repeat(~mask.any(-1)[:, None], queries, 1)
    for (_, out), slopes in (full, blocked):
        np.testing.assert_array_equal(out[alone], 0)
        np.testing.assert_array_equal(slopes[0][alone], 0)
        assert queries == 1 or np.abs(slopes[0][~alone]).max() > 1e-3
    if per_query and queries > 1:
        assert alone[1, :3].all()
        want = jax.nn.dot_product_attention(*arrays, mask=mask[:, None])
        np.testing.assert_allclose(full[0][1][~alone], want[~alone], atol=1e-5)


@pytest.mark.parametrize("form", ["full", "blocked"])
def test_masked_keys_may_be_anything(form, monkeypatch):
    # Not so masked values, which meet weights of zero: callers zero them.
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocks of one row
    query, key, value = draw(5, LENGTH, batch=4)
    filled = np.where(MASK[..., None, None], key, np.float32(np.nan))
    plain, other = (attend(query, k, value, MASK, form=form) for k in (key, filled))
    np.testing.assert_array_equal(plain, other)


@pytest.mark.parametrize("form", ["full", "blocked"])
def test_attend_dropout_keeps_the_mean(form, monkeypatch):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocks of one row
    query, key, value = draw(4, 4, batch=1, heads=1, width=2)
    mask = np.ones((1, 4), bool)
    run = jit(jax.vmap(lambda k: attend(query, key, value, mask, k, 0.5, form)))
    draws = run(jax.random.split(jax.random.key(0), 4000))
    assert np.std(draws, 0).min() > 0.05
    plain = attend(query, key, value, mask, None, 0.5, form)
    np.testing.assert_allclose(draws.mean(0), plain, atol=0.08)
    np.testing.assert_array_equal(
        attend(query, key, value, mask, jax.random.key(0), 0.0, form), plain
    )
    # Queries draw apart, in one block and in two: that one draws much says nothing of another.
    spread = np.abs(np.asarray(draws - plain)[:, 0, :, 0, 0])
    assert np.abs(np.corrcoef(spread.T) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("form", ["full", "blocked"])
def test_the_gradient_under_dropout_is_that_of_the_draw(form, monkeypatch):
    # Linear in the values: the slope times the values is the output, if both saw one mask.
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocks of one row
    query, key, value = draw(5, LENGTH, batch=4)

    def total(value):
        return attend(query, key, value, MASK, jax.random.key(0), 0.5, form).sum()

    out, slope = jit(jax.value_and_grad(total))(value)
    np.testing.assert_allclose((slope * value).sum(), out, rtol=1e-4)
    plain = attend(query, key, value, MASK, form=form).sum()
    assert abs(out - plain) > 1e-2


def test_all_gradients_under_dropout_are_those_of_the_plain_formula():
    arrays, key = draw(5, LENGTH, batch=4), jax.random.key(0)
    weight = np.random.default_rng(2).normal(size=arrays[0].shape).astype(np.float32)

    def formula(query, key_, value):
        logits = jnp.einsum("bshk,bthk->bhst", query, key_) / np.sqrt(query.shape[-1])
        weights = masked_softmax(logits, MASK[:, None, None, :])
        return jnp.einsum("bhst,bthk->bshk", drop(key, weights, 0.5), value)

    def slopes(function):
        return jit(jax.grad(lambda *x: (function(*x) * weight).sum(), (0, 1, 2)))(*arrays)

    got = slopes(lambda *x: attend(*x, MASK, key, 0.5, "full"))
    for ours, plain in zip(got, slopes(formula), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-5)
        assert np.abs(plain).max() > 1e-2


# ---- the choice of a form -----------------------------------------------------------------------


def traced(steps, form):
    """The jaxpr of attention and its gradient, of 8 rows and 2 heads."""
    shape = jax.ShapeDtypeStruct((8, steps, 2, 4), np.float32)
    mask = jax.ShapeDtypeStruct((8, steps), bool)

    def total(q, k, v, m):
        return attend(q, k, v, m, form=form).sum()

    return jax.make_jaxpr(jax.grad(total, argnums=(0, 1, 2)))(shape, shape, shape, mask).jaxpr


def largest(steps, form):
    return max(aval.size for _, aval in values_in(traced(steps, form)))


def test_auto_is_full_up_to_a_number_of_weights_and_blocked_beyond():
    assert attention._WEIGHTS == 8 * 2 * 1024**2
    assert largest(1024, "auto") == largest(1024, "full") == attention._WEIGHTS
    assert largest(1025, "auto") == largest(1025, "blocked") < 8 * 2 * 1025**2


def test_blocked_holds_the_weights_of_a_block_only(monkeypatch):
    # Neither forward nor for the backward pass, where `largest` sees what a loop hands on.
    monkeypatch.setattr(attention, "_WEIGHTS", 2 * 2 * 512**2)
    assert largest(512, "full") == 8 * 2 * 512**2
    assert largest(512, "blocked") <= 2 * 2 * 512**2


def test_blocked_takes_less_memory_when_compiled(monkeypatch):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)

    def temporary(form):
        shape = jax.ShapeDtypeStruct((8, 256, 2, 4), np.float32)

        def total(q):
            return attend(q, q, q, jnp.ones((8, 256), bool), form=form).sum()

        return jit(jax.grad(total)).lower(shape).compile().memory_analysis().temp_size_in_bytes

    full, blocked = temporary("full"), temporary("blocked")
    assert full >= 4 * 8 * 2 * 256**2
    assert blocked < full / 2


# ---- bfloat16 and cuDNN -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["full", "blocked"])
def test_bfloat16_is_near_float32_and_its_softmax_is_float32(form, monkeypatch):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)  # blocks of one row
    half = [jnp.asarray(x, jnp.bfloat16) for x in draw(5, LENGTH, batch=4)]
    want = attend(*(x.astype(jnp.float32) for x in half), MASK, form=form)
    got = attend(*half, MASK, form=form)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(np.float32), want, atol=2e-2)
    jaxpr = jax.make_jaxpr(lambda *x: attend(*x, MASK, form=form))(*half).jaxpr
    types = {aval.dtype for name, aval in values_in(jaxpr) if name in ("exp", "reduce_sum", "div")}
    assert types == {np.dtype(np.float32)}


def test_many_small_weights_still_sum_to_one_in_bfloat16():
    # 1,000 times 1/1000, summed in bfloat16 one by one, would stop at a quarter.
    query, key = jnp.zeros((1, 1, 1, 2), jnp.bfloat16), jnp.zeros((1, 1000, 1, 2), jnp.bfloat16)
    out = attend(query, key, jnp.ones_like(key), jnp.ones((1, 1000), bool))
    np.testing.assert_allclose(out.astype(np.float32), 1, atol=2e-2)


@pytest.mark.parametrize(
    ("dtype", "rate", "message"),
    [
        ("float32", 0.0, r"bfloat16 without dropout; got float32, dropout rate 0\."),
        ("bfloat16", 0.3, r"got bfloat16, dropout rate 0\.3\. Set encoder\.dtype"),
    ],
)
def test_cudnn_says_what_it_cannot_do(dtype, rate, message):
    arrays = [jnp.asarray(x, dtype) for x in draw(3, LENGTH, batch=4)]
    with pytest.raises(ValueError, match=message):
        attend(*arrays, MASK, jax.random.key(0), rate, "cudnn")


@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("keys", [LENGTH, 9])
def test_cudnn_is_asked_for_what_the_other_forms_compute(keys, per_query, monkeypatch):
    # With another kernel in its place, as there is no GPU here: what is tested is the call.
    asked, original = [], jax.nn.dot_product_attention

    def kernel(query, key, value, mask, implementation):
        asked.append(implementation)
        # What the kernel asks for, by JAX's checks: a mask of the full shape, of even lengths.
        assert mask.shape == (len(query), 1, query.shape[1], key.shape[1])
        assert query.shape[1] % 2 == key.shape[1] % 2 == 0
        return original(query, key, value, mask=mask)

    monkeypatch.setattr(jax.nn, "dot_product_attention", kernel)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    arrays = [jnp.asarray(x, jnp.bfloat16) for x in draw(5, keys, batch=4)]
    mask = np.arange(keys) < STEPS[:, None]
    if per_query:
        mask = np.random.default_rng(0).random((4, 5, keys)) < 0.5
        mask[0, 0] = False
    got = attend(*arrays, mask, None, 0.5, form="cudnn")  # a rate without a key drops nothing
    want = attend(*arrays, mask, form="full")
    assert asked == ["cudnn"]
    np.testing.assert_allclose(got.astype(np.float32), want.astype(np.float32), atol=2e-2)
    np.testing.assert_array_equal(got[0, 0] if per_query else got[-1], 0)
    monkeypatch.undo()
    np.testing.assert_array_equal(attend(*arrays, mask, form="cudnn"), want)
    assert asked == ["cudnn"]  # on a CPU it is not
