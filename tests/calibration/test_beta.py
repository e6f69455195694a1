import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, xlogy
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Beta, apply_beta, fit_beta, logit


def features(logits):
    """log p and -log(1 - p) in float64."""
    logits = np.asarray(logits, np.float64)
    return np.stack([-np.logaddexp(0, -logits), np.logaddexp(0, logits)], -1)


def simulate(n, absent, present):
    """Probabilities that follow one beta distribution where the label is absent, one elsewhere."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 1)) < 0.4).astype(np.float32)
    return np.where(labels, rng.beta(*present, (n, 1)), rng.beta(*absent, (n, 1))), labels


def test_recovers_the_posterior_of_beta_distributed_probabilities():
    # The classes differ by p^(5 - 2) (1 - p)^(2 - 4), so that Bayes' rule gives low 3 and high 2.
    probs, labels = simulate(40_000, (2.0, 4.0), (5.0, 2.0))
    state = fit_beta(logit(probs), labels)
    # Three standard errors; the three numbers trade off, and their curve is known better.
    np.testing.assert_allclose([state.low[0], state.high[0]], [3.0, 2.0], atol=0.38)
    grid = np.linspace(0.05, 0.95, 19)[:, None]
    positive, negative = 0.4 * beta.pdf(grid, 5, 2), 0.6 * beta.pdf(grid, 2, 4)
    got = expit(np.asarray(apply_beta(state, logit(grid))))
    np.testing.assert_allclose(got, positive / (positive + negative), atol=0.02)


def test_equals_unpenalised_logistic_regression_on_the_features_of_the_paper():
    probs, labels = simulate(2000, (1.0, 3.0), (3.0, 2.0))
    logits = np.asarray(logit(probs))
    state = fit_beta(logits, labels, shrinkage=1e-6)
    model = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
    model.fit(features(logits[:, 0]), labels[:, 0])
    assert (model.coef_ > 0).all()
    np.testing.assert_allclose([state.low[0], state.high[0]], model.coef_[0], atol=5e-3)
    assert state.bias[0] == pytest.approx(model.intercept_[0], abs=5e-3)


@pytest.mark.parametrize("shrinkage", [0.01, 1.0])
def test_equals_scipy_on_the_documented_objective(shrinkage):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 3)).astype(np.float32) * 3
    labels = (rng.random((20, 3)) < expit(logits)).astype(np.float32)
    # One class, and a label that only falls at the high end, so that a bound is active.
    labels[:, 1], labels[:, 2] = 1, np.abs(logits[:, 2]) < 1
    weights = rng.random(20).astype(np.float32)

    def objective(theta, x, y):
        z = x @ theta[:2] + theta[2]
        prior = shrinkage / 2 * np.sum(np.square(theta - [1, 1, 0]))
        return np.sum(weights * (np.logaddexp(0, z) - y * z)) + prior

    state = fit_beta(logits, labels, shrinkage, weights)
    bounds = [(0, None), (0, None), (None, None)]
    for c in range(3):
        args = features(logits[:, c]), labels[:, c]
        want = minimize(objective, [1, 1, 0], args, bounds=bounds, tol=1e-13).x
        got = [state.low[c], state.high[c], state.bias[c]]
        np.testing.assert_allclose(got, want, atol=5e-3)
    assert state.low[2] == 0 or state.high[2] == 0


def test_apply_by_hand_and_far_out():
    state = Beta(np.array([1.0, 2.0]), np.array([1.0, 0.5]), np.array([0.0, 1.0]))
    logits = np.array([[0.3, 0.0], [-200.0, 200.0]], np.float32)
    want = [[0.3, -2 * np.log(2) + 0.5 * np.log(2) + 1], [-200, 101]]
    np.testing.assert_allclose(apply_beta(state, logits), want, rtol=1e-5)


def test_bends_the_two_ends_apart_where_platt_cannot():
    # True at the low end, over-confident at the high one: labels of p' with p' = p^1 (1-p)^0.3.
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5000, 1)).astype(np.float32) * 3
    z = features(logits)[..., 0] + 0.3 * features(logits)[..., 1]
    labels = (rng.random((5000, 1)) < expit(z)).astype(np.float32)
    state = fit_beta(logits, labels)
    np.testing.assert_allclose([state.low[0], state.high[0]], [1.0, 0.3], atol=0.08)
    fitted = expit(np.asarray(apply_beta(state, logits), np.float64))
    loss = -np.mean(xlogy(labels, fitted) + xlogy(1 - labels, 1 - fitted))
    best = expit(z)
    assert loss <= -np.mean(xlogy(labels, best) + xlogy(1 - labels, 1 - best)) + 1e-6
