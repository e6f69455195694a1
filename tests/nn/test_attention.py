import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from lddu.nn import attention
from lddu.nn.attention import attend, join_rows, split_rows
from lddu.nn.dropout import drop
from lddu.nn.softmax import masked_softmax

LENGTH = 6
STEPS = np.array([6, 4, 1, 0])  # the last row is all padding
MASK = np.arange(LENGTH) < STEPS[:, None]


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


# ---- the full and the blocked form --------------------------------------------------------------


@pytest.fixture
def one_row_blocks(monkeypatch):
    monkeypatch.setattr(attention, "_WEIGHTS", 1)


@pytest.mark.usefixtures("one_row_blocks")
@pytest.mark.parametrize("form", ["full", "blocked"])
def test_attend_equals_jax_flax_and_a_numpy_loop(form):
    query, key, value = draw(5, LENGTH, batch=4, width=3)
    mask = MASK[:, None, None, :]

    @jax.jit
    def run(query, key, value):
        return (
            attend(query, key, value, MASK, None, 0.5, form),
            jax.nn.dot_product_attention(query, key, value, mask=mask),
            nn.dot_product_attention(query, key, value, mask=mask),
        )

    got, *others = run(query, key, value)
    np.testing.assert_array_equal(got[-1], 0)
    for want in others:
        np.testing.assert_allclose(got[:-1], want[:-1], rtol=1e-5, atol=1e-5)
    for b, s, h in np.ndindex(3, 5, 2):
        t = STEPS[b]
        p = softmax(key[b, :t, h] @ query[b, s, h] / np.sqrt(3))
        np.testing.assert_allclose(got[b, s, h], p @ value[b, :t, h], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("queries", "keys", "per_query"), [(7, 7, True), (1, 9, False)])
def test_blocked_equals_full_in_values_and_gradients(queries, keys, per_query, monkeypatch):
    # Two rows in a block: the last of three blocks is filled up.
    monkeypatch.setattr(attention, "_WEIGHTS", 2 * 2 * queries * keys)
    rng = np.random.default_rng(1)
    arrays = draw(queries, keys, batch=5)
    mask = rng.random((5, queries, keys) if per_query else (5, keys)) < 0.5
    mask[1, :3] = False  # queries without any key, and keys that nothing attends to
    mask[3] = False
    weight = rng.normal(size=arrays[0].shape).astype(np.float32)

    def total(arrays, form):
        out = attend(*arrays, mask, form=form)
        return (out * weight).sum(), out

    @jax.jit
    def both(arrays):
        run = jax.value_and_grad(total, has_aux=True)
        seen = mask[:, None] if per_query else mask[:, None, None]
        want = jax.nn.dot_product_attention(*arrays, mask=seen)
        return run(arrays, "full"), run(arrays, "blocked"), want

    full, blocked, want = both(arrays)
    chex.assert_trees_all_close(blocked, full, rtol=1e-4, atol=1e-5)
    chex.assert_tree_all_finite((full, blocked))
    alone = ~mask.any(-1) if per_query else np.repeat(~mask.any(-1)[:, None], queries, 1)
    for (_, out), slopes in (full, blocked):
        np.testing.assert_array_equal(out[alone], 0)
        np.testing.assert_array_equal(slopes[0][alone], 0)
        assert np.abs(slopes[0][~alone]).max() > 1e-3
    assert alone[3].all()
    np.testing.assert_allclose(full[0][1][~alone], want[~alone], rtol=1e-4, atol=1e-5)
    if per_query:
        assert alone[1, :3].all()


@pytest.mark.usefixtures("one_row_blocks")
@pytest.mark.parametrize("form", ["full", "blocked"])
def test_masked_keys_may_be_anything(form):
    # Masked values may not: they meet weights of zero, so that callers set them to zero.
    query, key, value = draw(5, LENGTH, batch=4)
    filled = np.where(MASK[..., None, None], key, np.float32(np.nan))
    run = jax.jit(lambda key: attend(query, key, value, MASK, form=form))
    np.testing.assert_array_equal(run(key), run(filled))


@pytest.mark.parametrize("rows", [1, 4, 5])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_rows_are_split_and_joined_again(rows, size):
    x = np.arange(1, rows * 6 + 1).reshape(rows, 3, 2)
    blocks = split_rows(x, size)
    assert blocks.shape == (-(-rows // size), size, 3, 2)
    np.testing.assert_array_equal(join_rows(blocks, rows), x)
    assert (np.asarray(blocks) == 0).sum() == blocks.size - x.size


# ---- dropout ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_row_blocks")
@pytest.mark.parametrize("form", ["full", "blocked"])
def test_dropout_keeps_the_mean_and_queries_draw_apart(form):
    query, key, value = draw(4, 4, batch=1, heads=1, width=2)
    mask, count = np.ones((1, 4), bool), 4000

    @jax.jit
    def run(keys):
        dropped = jax.vmap(lambda k: attend(query, key, value, mask, k, 0.5, form))(keys)
        rate_of_zero = attend(query, key, value, mask, keys[0], 0.0, form)
        return dropped, rate_of_zero, attend(query, key, value, mask, None, 0.5, form)

    draws, rate_of_zero, plain = (np.asarray(x) for x in run(split(count)))
    assert np.std(draws, 0).min() > 0.05
    # Seven standard errors.
    assert (np.abs(draws.mean(0) - plain) < 7 * np.std(draws, 0) / np.sqrt(count)).all()
    np.testing.assert_array_equal(rate_of_zero, plain)
    # That one query drops much says nothing of another; 7 / sqrt(4000) = 0.11.
    spread = np.abs((draws - plain)[:, 0, :, 0, 0])
    assert np.abs(np.corrcoef(spread.T) - np.eye(4)).max() < 0.11


@jax.jit
def split_key(key):
    return jax.random.split(key, 4000)


def split(count):
    return split_key(jax.random.key(0))[:count]


@pytest.mark.usefixtures("one_row_blocks")
def test_all_forms_drop_the_same_and_have_the_gradients_of_the_plain_formula():
    arrays, key = draw(LENGTH, LENGTH, batch=4), jax.random.key(0)
    weight = np.random.default_rng(2).normal(size=arrays[0].shape).astype(np.float32)

    def formula(query, key_, value):
        logits = jnp.einsum("bshk,bthk->bhst", query, key_) / np.sqrt(query.shape[-1])
        weights = masked_softmax(logits, MASK[:, None, None, :])
        return jnp.einsum("bhst,bthk->bshk", drop(key, weights, 0.5), value)

    @jax.jit
    def run(*arrays):
        def slopes(function):
            def total(*x):
                out = function(*x)
                return (out * weight).sum(), out

            return jax.grad(total, (0, 1, 2), has_aux=True)(*arrays)

        return (
            slopes(formula),
            slopes(lambda *x: attend(*x, MASK, key, 0.5, "full")),
            slopes(lambda *x: attend(*x, MASK, key, 0.5, "blocked")),
            attend(*arrays, MASK),
        )

    want, full, blocked, plain = run(*arrays)
    for got in (full, blocked):
        chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-5)
    slopes, out = want
    assert all(np.abs(x).max() > 1e-2 for x in slopes)
    assert np.abs(out - plain).max() > 1e-2


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

        return jax.jit(jax.grad(total)).lower(shape).compile().memory_analysis().temp_size_in_bytes

    full, blocked = temporary("full"), temporary("blocked")
    assert full >= 4 * 8 * 2 * 256**2
    assert blocked < full / 2


# ---- bfloat16 and cuDNN -------------------------------------------------------------------------


@pytest.mark.usefixtures("one_row_blocks")
@pytest.mark.parametrize("form", ["full", "blocked"])
def test_bfloat16_is_near_float32_and_its_softmax_is_float32(form):
    half = [jnp.asarray(x, jnp.bfloat16) for x in draw(5, LENGTH, batch=4)]

    @jax.jit
    def run(*half):
        whole = attend(*(x.astype(jnp.float32) for x in half), MASK, form=form)
        return whole, attend(*half, MASK, form=form)

    want, got = run(*half)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(np.float32), want, atol=2e-2)
    jaxpr = jax.make_jaxpr(lambda *x: attend(*x, MASK, form=form))(*half).jaxpr
    types = {aval.dtype for name, aval in values_in(jaxpr) if name in ("exp", "reduce_sum", "div")}
    assert types == {np.dtype(np.float32)}


def test_many_small_weights_still_sum_to_one_in_bfloat16():
    # 1,000 times 1/1000, summed in bfloat16 one by one, would stop at a quarter.
    query, key = jnp.zeros((1, 1, 1, 2), jnp.bfloat16), jnp.zeros((1, 1000, 1, 2), jnp.bfloat16)
    out = jax.jit(attend)(query, key, jnp.ones_like(key), jnp.ones((1, 1000), bool))
    np.testing.assert_allclose(out.astype(np.float32), 1, atol=2e-2)


@pytest.mark.parametrize(
    ("dtype", "rate", "message"),
    [
        ("float32", 0.0, r"bfloat16 without dropout; got float32, dropout rate 0\."),
        ("bfloat16", 0.3, r"got bfloat16, dropout rate 0\.3\. Set execution\.dtype"),
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
    arrays = [jnp.asarray(x, jnp.bfloat16) for x in draw(5, keys, batch=4)]
    mask = np.arange(keys) < STEPS[:, None]
    if per_query:
        mask = np.random.default_rng(0).random((4, 5, keys)) < 0.5
        mask[0, 0] = False
    # A rate without a key drops nothing.
    run = jax.jit(lambda form: attend(*arrays, mask, None, 0.5, form), static_argnums=0)
    want = run("full")
    with monkeypatch.context() as gpu:
        gpu.setattr(jax, "default_backend", lambda: "gpu")
        got = run("cudnn")
    assert asked == ["cudnn"]
    np.testing.assert_allclose(got.astype(np.float32), want.astype(np.float32), atol=2e-2)
    np.testing.assert_array_equal(got[0, 0] if per_query else got[-1], 0)
    run.clear_cache()
    np.testing.assert_array_equal(run("cudnn"), want)
    assert asked == ["cudnn"]  # on a CPU it is not
