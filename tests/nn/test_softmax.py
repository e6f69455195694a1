import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax

from lddu.nn.softmax import masked_log_softmax, masked_softmax

logits = hnp.arrays(np.float32, (5, 4), elements=st.floats(-1e4, 1e4, width=32))
masks = hnp.arrays(bool, (5, 4))
both = jax.jit(lambda x, mask: (masked_softmax(x, mask), masked_log_softmax(x.T, mask.T).T))


@given(x=logits, mask=masks)
@settings(max_examples=25)
def test_equal_to_scipy_on_the_subset(x, mask):
    got, log = (np.asarray(y) for y in both(x, mask))
    want, want_log = np.zeros_like(x), np.zeros_like(x)
    for row in range(len(x)):
        if mask[row].any():
            kept = x[row, mask[row]].astype(np.float64)
            want[row, mask[row]], want_log[row, mask[row]] = softmax(kept), log_softmax(kept)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(log, want_log, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got[~mask], 0)
    np.testing.assert_array_equal(log[~mask], 0)


X = np.array([[1, 0, 2], [0, 0, 0], [-1e38, 0, -1e38]], np.float32)
MASK = np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool)
COST = np.array([1.0, 2.0, 3.0], np.float32)


@jax.jit
def totals(x):
    def soft(x):
        return (masked_softmax(x, MASK) * COST).sum()

    def log_soft(x):
        return (masked_log_softmax(x.T, MASK.T).T * COST).sum()

    return jax.value_and_grad(soft)(x), jax.value_and_grad(log_soft)(x)


@pytest.mark.parametrize("hidden", [np.nan, np.inf, -np.inf, 1e38])
def test_masked_entries_may_be_anything(hidden):
    (value, slope), (log_value, log_slope) = totals(np.where(MASK, X, np.float32(hidden)))
    p = softmax([1.0, 2.0])
    np.testing.assert_allclose(value, p @ [1, 3] + 2.0, rtol=1e-5)
    # d(p . c)/dx_i = p_i (c_i - p . c); nothing reaches masked places.
    want = np.zeros((3, 3))
    want[0, [0, 2]] = p * (np.array([1, 3]) - p @ [1, 3])
    want[2, [0, 2]] = [-0.5, 0.5]
    np.testing.assert_allclose(slope, want, atol=1e-5)
    # d(c . log p)/dx_i = c_i - p_i sum(c).
    np.testing.assert_allclose(log_value, np.log(p) @ [1, 3] + 4 * np.log(0.5), rtol=1e-5)
    want[0, [0, 2]], want[2, [0, 2]] = np.array([1, 3]) - 4 * p, [-1, 1]
    np.testing.assert_allclose(log_slope, want, atol=1e-5)


def test_gradients_are_those_of_the_plain_functions():
    x = np.linspace(-2, 3, 12).reshape(3, 4).astype(np.float32)
    mask = np.ones((3, 4), bool)

    def slope(function):
        return jax.jit(jax.grad(lambda x: jnp.sin(3 * function(x)).sum()))(x)

    for ours, plain in (
        (lambda x: masked_softmax(x, mask), jax.nn.softmax),
        (lambda x: masked_log_softmax(x, mask), lambda x: jax.nn.log_softmax(x, axis=0)),
    ):
        np.testing.assert_allclose(slope(ours), slope(plain), rtol=1e-4, atol=1e-5)
