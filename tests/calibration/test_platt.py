import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Platt, apply_platt, fit_platt

SLOPE, BIAS = np.array([0.4, 1.0, 2.0]), np.array([-1.0, 0.0, 1.5])


def simulate(n=2000, seed=0):
    """Logits and labels for which `SLOPE * logit + BIAS` is right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)).astype(np.float32) * 2
    return logits, (rng.random((n, 3)) < expit(SLOPE * logits + BIAS)).astype(np.float32)


def test_recovers_slope_and_bias_of_each_label():
    state = fit_platt(*simulate(20_000), per_label=True)
    np.testing.assert_allclose(state.slope, SLOPE, rtol=0.06)
    np.testing.assert_allclose(state.bias, BIAS, atol=0.06)


def test_equals_unpenalised_logistic_regression_of_scikit_learn():
    logits, labels = simulate()
    state = fit_platt(logits, labels, per_label=True, shrinkage=1e-6)
    for c in range(3):
        model = LogisticRegression(C=np.inf, tol=1e-8).fit(logits[:, [c]], labels[:, c])
        assert state.slope[c] == pytest.approx(model.coef_[0, 0], abs=1e-3)
        assert state.bias[c] == pytest.approx(model.intercept_[0], abs=1e-3)
    shared = fit_platt(logits, labels, shrinkage=1e-6)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(logits.reshape(-1, 1), labels.ravel())
    np.testing.assert_allclose(shared.slope, model.coef_[0, 0] * np.ones(3), atol=1e-3)
    np.testing.assert_allclose(shared.bias, model.intercept_[0] * np.ones(3), atol=1e-3)


@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("per_label", [False, True])
def test_equals_scipy_on_the_documented_objective(shrinkage, per_label):
    logits, labels = simulate(20, seed=1)
    labels[:, 0] = 0
    weights = np.random.default_rng(0).random(20).astype(np.float32)

    def objective(theta, x, y):
        z = theta[0] * x.astype(float) + theta[1]
        loss = np.sum(weights[:, None] * (np.logaddexp(0, z) - y * z))
        return loss + shrinkage / 2 * ((theta[0] - 1) ** 2 + theta[1] ** 2)

    state = fit_platt(logits, labels, per_label, shrinkage, weights)
    columns = [[c] for c in range(3)] if per_label else [[0, 1, 2]]
    for c in columns:
        args = logits[:, c], labels[:, c]
        want = minimize(objective, [1, 0], args, bounds=[(0, None), (None, None)], tol=1e-12).x
        np.testing.assert_allclose(state.slope[np.array(c)], want[0], atol=2e-3)
        np.testing.assert_allclose(state.bias[np.array(c)], want[1], atol=2e-3)


def test_a_model_that_ranks_backwards_gets_the_base_rate():
    logits, _ = simulate(20)
    labels = (logits < 0.5).astype(np.float32)
    state = fit_platt(logits, labels, per_label=True, shrinkage=1e-3)
    np.testing.assert_array_equal(state.slope, 0)
    np.testing.assert_allclose(expit(np.asarray(state.bias)), labels.mean(0), atol=1e-3)


def test_a_label_of_one_class_keeps_its_ranking_and_gets_rare():
    logits, labels = simulate(20)
    state = fit_platt(logits, np.zeros_like(labels), per_label=True)
    assert np.all(np.asarray(state.slope) > 0)
    assert np.all(expit(np.asarray(apply_platt(state, logits))).mean(0) < 0.15)


def test_apply_by_hand():
    state = Platt(np.array([2.0, 0.5]), np.array([1.0, -1.0]))
    np.testing.assert_allclose(apply_platt(state, [[3.0, 4.0]]), [[7.0, 1.0]])
