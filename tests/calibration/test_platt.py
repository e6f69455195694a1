import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Platt, apply_platt, fit_platt

SLOPE, BIAS = np.array([0.4, 1.0, 2.0]), np.array([-1.0, 0.0, 1.5])


N = 40  # one shape, so that everything is compiled once


def simulate(seed=0):
    """Logits and labels for which `SLOPE * logit + BIAS` is right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, 3)).astype(np.float32) * 2
    return logits, (rng.random((N, 3)) < expit(SLOPE * logits + BIAS)).astype(np.float32)


def test_recovers_slope_and_bias_of_each_label():
    # With the expected labels the truth has the highest likelihood, whatever the logits.
    logits, _ = simulate()
    state = fit_platt(logits, expit(SLOPE * logits + BIAS), per_label=True, shrinkage=1e-6)
    np.testing.assert_allclose(state.slope, SLOPE, rtol=2e-3)
    np.testing.assert_allclose(state.bias, BIAS, atol=2e-3)


def test_equals_logistic_regression_of_scikit_learn_without_a_penalty():
    # Soft labels, as each row with label 1 at the weight of its label, and with 0 at the rest: so
    # no draw can be separable.
    logits, labels = simulate()
    labels = 0.1 + 0.8 * labels
    state = fit_platt(logits, labels, per_label=True, shrinkage=1e-6)
    shared = fit_platt(logits, labels, shrinkage=1e-6)
    for c, fitted in (*((c, state) for c in range(3)), (slice(None), shared)):
        x, y = logits[:, c].reshape(-1, 1), labels[:, c].ravel()
        model = LogisticRegression(C=np.inf, tol=1e-8)
        model.fit(np.tile(x, (2, 1)), np.repeat([1, 0], len(x)), np.append(y, 1 - y))
        np.testing.assert_allclose(fitted.slope[c], model.coef_[0, 0], atol=5e-3)
        np.testing.assert_allclose(fitted.bias[c], model.intercept_[0], atol=5e-3)


@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("per_label", [False, True])
def test_equals_scipy_on_the_documented_objective(shrinkage, per_label):
    logits, labels = simulate(seed=1)
    labels[:, 0] = 0
    weights = np.random.default_rng(0).random(N).astype(np.float32)

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
    logits, _ = simulate()
    labels = (logits < 0.5).astype(np.float32)
    state = fit_platt(logits, labels, per_label=True, shrinkage=1e-3)
    np.testing.assert_array_equal(state.slope, 0)
    np.testing.assert_allclose(expit(np.asarray(state.bias)), labels.mean(0), atol=1e-3)


def test_a_label_of_one_class_keeps_its_ranking_and_gets_rare():
    # At slope 0 the likelihood has no slope for logits of mean 0, and the prior pulls upwards.
    logits, labels = simulate()
    logits -= logits.mean(0)
    state = fit_platt(logits, np.zeros_like(labels), per_label=True)
    assert np.all(np.asarray(state.slope) > 0)
    assert np.all(expit(np.asarray(apply_platt(state, logits))).mean(0) < 0.15)


def test_apply_by_hand():
    state = Platt(np.array([2.0, 0.5]), np.array([1.0, -1.0]))
    np.testing.assert_allclose(apply_platt(state, [[3.0, 4.0]]), [[7.0, 1.0]])
