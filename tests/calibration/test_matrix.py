import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Matrix, apply_matrix, fit_matrix, fit_platt

WEIGHT = np.array([[1.0, 0.0, -0.8], [0.0, 0.5, 0.0], [0.6, 0.0, 1.5]])
BIAS = np.array([0.5, 0.0, -1.0])


def simulate(n, seed=0):
    """Logits and labels for which `WEIGHT @ logits + BIAS` is right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)).astype(np.float32) * 1.5
    return logits, (rng.random((n, 3)) < expit(logits @ WEIGHT.T + BIAS)).astype(np.float32)


def test_recovers_what_labels_say_about_each_other():
    state = fit_matrix(*simulate(20_000))
    np.testing.assert_allclose(state.weight, WEIGHT, atol=0.08)
    np.testing.assert_allclose(state.bias, BIAS, atol=0.06)


def test_equals_unpenalised_logistic_regression_of_scikit_learn():
    logits, labels = simulate(2000)
    state = fit_matrix(logits, labels, shrinkage=1e-6, off_diagonal=1e-6)
    for c in range(3):
        model = LogisticRegression(C=np.inf, tol=1e-8).fit(logits, labels[:, c])
        np.testing.assert_allclose(state.weight[c], model.coef_[0], atol=2e-3)
        assert state.bias[c] == pytest.approx(model.intercept_[0], abs=2e-3)


def test_equals_scipy_on_the_documented_objective():
    logits, labels = simulate(20)
    labels[:, 1] = 1
    weights = np.random.default_rng(0).random(20).astype(np.float32)

    def objective(theta):
        weight, bias = theta[:9].reshape(3, 3), theta[9:]
        z = logits @ weight.T + bias
        off = weight[~np.eye(3, dtype=bool)]
        prior = 0.5 / 2 * (np.sum((np.diag(weight) - 1) ** 2) + np.sum(bias**2))
        loss = np.sum(weights[:, None] * (np.logaddexp(0, z) - labels * z))
        return loss + prior + 4.0 / 2 * np.sum(off**2)

    state = fit_matrix(logits, labels, 0.5, 4.0, weights)
    want = minimize(objective, np.append(np.eye(3), np.zeros(3)), tol=1e-12).x
    np.testing.assert_allclose(np.append(state.weight, state.bias), want, atol=2e-3)


def test_a_heavy_off_diagonal_penalty_makes_it_platt_scaling_per_label():
    logits, labels = simulate(2000)
    state = fit_matrix(logits, labels, off_diagonal=1e7)
    platt = fit_platt(logits, labels, per_label=True)
    np.testing.assert_allclose(state.weight, np.diag(platt.slope), atol=1e-3)
    np.testing.assert_allclose(state.bias, platt.bias, atol=1e-3)


def test_apply_by_hand():
    state = Matrix(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.5, 0.0]))
    np.testing.assert_allclose(apply_matrix(state, [[3.0, 4.0]]), [[11.5, -4.0]])
