import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, log_expit

from lddu.losses import binary_cross_entropy

loss_and_slope = jax.jit(
    lambda x, y: (
        binary_cross_entropy(x, y),
        optax.sigmoid_binary_cross_entropy(x, y),
        jax.grad(lambda x: binary_cross_entropy(x, y).sum())(x),
    )
)


def test_by_hand():
    got, *_ = loss_and_slope(np.zeros(3, np.float32), np.float32([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(got, np.full(3, np.log(2)), rtol=1e-5)
    # p = 3/4.
    got, *_ = loss_and_slope(np.full(3, np.log(3.0), np.float32), np.float32([1.0, 0.0, 0.5]))
    want = [np.log(4 / 3), np.log(4), 0.5 * np.log(16 / 3)]
    np.testing.assert_allclose(got, want, rtol=1e-5)


@given(
    x=hnp.arrays(np.float32, (6,), elements=st.floats(-60, 60, width=32)),
    y=hnp.arrays(np.float32, (6,), elements=st.floats(0, 1, width=32)),
)
@settings(max_examples=30)
def test_equals_optax_and_scipy_for_soft_labels(x, y):
    loss, of_optax, slope = loss_and_slope(x, y)
    wide = x.astype(np.float64)
    want = -(y * log_expit(wide) + (1 - y) * log_expit(-wide))
    np.testing.assert_allclose(loss, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss, of_optax, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(slope, expit(wide) - y, atol=1e-5)
    assert (loss >= 0).all()


@pytest.mark.parametrize("label", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("logit", [-1e4, 1e4, -3e38, 3e38, 0.0])
def test_extremes(logit, label):
    loss, _, slope = loss_and_slope(np.float32([logit]), np.float32([label]))
    want = np.logaddexp(0, logit) - logit * label
    np.testing.assert_allclose(loss, [want], rtol=1e-5)
    np.testing.assert_allclose(slope, [expit(logit) - label], atol=1e-5)
