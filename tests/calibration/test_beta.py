import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import beta
from sklearn.linear_model import LogisticRegression

from lddu.calibration import Beta, apply_beta, apply_platt, fit_beta, fit_platt, logit

N = 200  # one shape, so that everything is compiled once


def features(logits):
    """log p and -log(1 - p) in float64."""
    logits = np.asarray(logits, np.float64)
    return np.stack([-np.logaddexp(0, -logits), np.logaddexp(0, logits)], -1)


def test_recovers_the_posterior_of_beta_distributed_probabilities():
    # The classes differ by p^(5 - 2) (1 - p)^(2 - 4), so that Bayes' rule gives low 3 and high 2.
    # The whole population: each probability at its density, with the share of its labels.
    probs = np.linspace(0.02, 0.98, N)[:, None]
    positive, negative = 0.4 * beta.pdf(probs, 5, 2), 0.6 * beta.pdf(probs, 2, 4)
    share, density = positive / (positive + negative), (positive + negative)[:, 0]
    state = fit_beta(logit(probs), share, shrinkage=1e-6, weights=density)
    np.testing.assert_allclose([state.low[0], state.high[0]], [3.0, 2.0], atol=0.02)
    got = expit(np.asarray(apply_beta(state, logit(probs))))
    np.testing.assert_allclose(got, share, atol=1e-3)


def test_equals_logistic_regression_on_the_features_of_the_paper_without_a_penalty():
    # Soft labels, as each row with label 1 at the weight of its label, and with 0 at the rest.
    rng = np.random.default_rng(0)
    logits = np.linspace(-3, 3, N, dtype=np.float32)[:, None]
    labels = np.clip(expit(logits) + rng.uniform(-0.2, 0.2, (N, 1)), 0, 1)
    state = fit_beta(logits, labels, shrinkage=1e-6)
    model = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
    share = np.append(labels, 1 - labels)
    model.fit(np.tile(features(logits[:, 0]), (2, 1)), np.repeat([1, 0], N), share)
    assert (model.coef_ > 0).all()
    np.testing.assert_allclose([state.low[0], state.high[0]], model.coef_[0], atol=0.02)
    assert state.bias[0] == pytest.approx(model.intercept_[0], abs=0.02)


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
    logits = np.linspace(-6, 6, N, dtype=np.float32)[:, None]
    z = features(logits)[..., 0] + 0.3 * features(logits)[..., 1]
    labels = expit(z)  # expected ones, so that the truth has the highest likelihood
    state = fit_beta(logits, labels, shrinkage=1e-6)
    np.testing.assert_allclose([state.low[0], state.high[0]], [1.0, 0.3], atol=0.01)
    np.testing.assert_allclose(apply_beta(state, logits), z, atol=0.02)
    platt = fit_platt(logits, labels, per_label=True, shrinkage=1e-6)
    assert np.abs(apply_platt(platt, logits) - z).max() > 0.5
