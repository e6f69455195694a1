import jax
import numpy as np
import pytest
from scipy.special import logit as scipy_logit

from lddu import metrics
from lddu.calibration import logit
from lddu.calibration.inputs import fitted_labels, fitting_data, positive


def test_logit_equals_scipy_and_clips_the_ends():
    probs = np.array([[1e-5, 0.2, 0.5], [0.9, 0.999, 1e-3]])
    np.testing.assert_allclose(logit(probs), scipy_logit(probs), rtol=2e-5, atol=1e-6)
    ends = np.array([0.0, 1.0])
    np.testing.assert_allclose(logit(ends), [-16.118, 16.118], atol=1e-3)
    np.testing.assert_allclose(logit(ends, clip=0.1), scipy_logit([0.1, 0.9]), rtol=1e-5)


def test_logit_loses_nothing_that_the_metrics_see():
    rng = np.random.default_rng(0)
    probs = rng.random((50, 3)).astype(np.float32)
    back = np.asarray(jax.nn.sigmoid(logit(probs)))
    labels = rng.integers(0, 2, probs.shape)
    assert metrics.nll(back, labels) == pytest.approx(metrics.nll(probs, labels), rel=1e-5)


def test_logit_is_as_exact_near_one_as_near_zero():
    small = np.array([2e-7, 1e-6, 3e-5, 1e-3])
    got = np.asarray(logit(np.concatenate([small, 1 - small])), float)
    np.testing.assert_allclose(got[4:], -got[:4], rtol=1e-6)
    np.testing.assert_allclose(got[:4], scipy_logit(small), rtol=1e-6)


def test_gradients_of_logit_are_finite_at_the_ends():
    gradient = jax.jit(jax.grad(lambda p: logit(p).sum()))(np.array([0.0, 0.5, 1.0], np.float32))
    np.testing.assert_allclose(gradient, [0, 4, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 3))}, r"logits \(4, 2\), labels \(4, 3\)"),
        ({"labels": np.full((4, 2), 2.0)}, r"labels \(4, 2\) must lie in \[0, 1\]"),
        ({"logits": np.full((4, 2), np.nan)}, r"logits \(4, 2\) holds 8 NaN or infinite"),
        ({"logits": np.full((4, 2), -1e9)}, r"logits \(4, 2\) reach 1e\+09 .* drop fill values"),
        ({"weights": np.ones(3)}, r"weights has shape \(3,\).*\(4,\)"),
        ({"weights": np.zeros(4)}, r"weights \(4,\) .* not all 0"),
        ({"weights": np.array([1, 1, -1, 1])}, r"weights \(4,\) .* >= 0"),
        ({"weights": np.array([1, 1, np.inf, 1])}, r"weights \(4,\) holds 1 NaN or infinite"),
    ],
)
def test_bad_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        fitting_data(**{"logits": np.zeros((4, 2)), "labels": np.zeros((4, 2))} | change)


def test_bad_settings_are_refused():
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"shrinkage=.* must be finite and > 0"):
            positive("shrinkage", value)
    with pytest.raises(ValueError, match="clip=0 "):
        logit([0.5], clip=0)
    with pytest.raises(ValueError, match=r"probs \(1,\) must lie in \[0, 1\]"):
        logit([1.5])
    with pytest.raises(ValueError, match=r"logits has shape \(2, 3\).*2 labels"):
        fitted_labels(np.zeros((2, 3)), 2)
