import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Matrix, apply_matrix, fit_matrix, fit_platt

WEIGHT = np.array([[1.0, 0.0, -0.8], [0.0, 0.5, 0.0], [0.6, 0.0, 1.5]])
BIAS = np.array([0.5, 0.0, -1.0])


N = 60  # one shape, so that everything is compiled once


def simulate(seed=0):
    """Logits and labels for which `WEIGHT @ logits + BIAS` is right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, 3)).astype(np.float32) * 1.5
    return logits, (rng.random((N, 3)) < expit(logits @ WEIGHT.T + BIAS)).astype(np.float32)


def test_recovers_what_labels_say_about_each_other():
    # With the expected labels the truth has the highest likelihood, whatever the logits.
    logits, _ = simulate()
    labels = expit(logits @ WEIGHT.T + BIAS)
    state = fit_matrix(logits, labels, shrinkage=1e-6, off_diagonal=1e-6)
    np.testing.assert_allclose(state.weight, WEIGHT, atol=5e-3)
    np.testing.assert_allclose(state.bias, BIAS, atol=5e-3)


def test_equals_logistic_regression_of_scikit_learn_without_a_penalty():
    # Soft labels, as each row with label 1 at the weight of its label, and with 0 at the rest: so
    # no draw can be separable.
    logits, labels = simulate()
    labels = 0.1 + 0.8 * labels
    state = fit_matrix(logits, labels, shrinkage=1e-6, off_diagonal=1e-6)
    for c in range(3):
        model = LogisticRegression(C=np.inf, tol=1e-8)
        share = np.append(labels[:, c], 1 - labels[:, c])
        model.fit(np.tile(logits, (2, 1)), np.repeat([1, 0], N), share)
        np.testing.assert_allclose(state.weight[c], model.coef_[0], atol=5e-3)
        assert state.bias[c] == pytest.approx(model.intercept_[0], abs=5e-3)


def test_equals_scipy_on_the_documented_objective():
    logits, labels = simulate()
    labels[:, 1] = 1
    weights = np.random.default_rng(0).random(N).astype(np.float32)

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
    logits, labels = simulate()
    state = fit_matrix(logits, labels, off_diagonal=1e7)
    platt = fit_platt(logits, labels, per_label=True)
    np.testing.assert_allclose(state.weight, np.diag(platt.slope), atol=1e-3)
    np.testing.assert_allclose(state.bias, platt.bias, atol=1e-3)


def test_apply_by_hand():
    state = Matrix(np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([0.5, 0.0]))
    np.testing.assert_allclose(apply_matrix(state, [[3.0, 4.0]]), [[11.5, -4.0]])
