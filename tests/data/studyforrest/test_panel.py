import numpy as np
import pytest
from scipy import optimize, stats

from lddu.data.studyforrest import panel


@pytest.mark.parametrize("prior", [(0.1, 0.8), (2.0, 3.5), (1.0, 1.0), (40.0, 7.0)])
@pytest.mark.parametrize("n", [1, 9])
def test_log_pmf_is_scipys(prior, n):
    k = np.arange(n + 1)
    expected = stats.betabinom.logpmf(k, n, *prior)
    np.testing.assert_allclose(panel.log_pmf(k, n, panel.BetaPrior(*prior)), expected, rtol=1e-10)


def test_a_uniform_prior_makes_every_number_of_votes_equally_likely():
    out = panel.log_pmf(np.arange(10), 9, panel.BetaPrior(1.0, 1.0))
    np.testing.assert_allclose(np.exp(out), 0.1)


def votes_of(prior, windows):
    """Numbers of votes of 9 observers that occur as often as the prior expects."""
    expected = windows * stats.betabinom.pmf(np.arange(10), 9, *prior)
    return np.repeat(np.arange(10), np.rint(expected).astype(int))


@pytest.mark.parametrize("prior", [(0.15, 0.9), (1.5, 4.0)])
def test_fit_maximises_the_likelihood(prior):
    votes = votes_of(prior, 800)

    def loss(log_prior):
        return -stats.betabinom.logpmf(votes, 9, *np.exp(log_prior)).sum()

    best = optimize.minimize(
        loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8}
    )
    fitted = panel.fit(votes, 9)
    np.testing.assert_allclose(fitted, np.exp(best.x), rtol=1e-3)
    assert loss(np.log(fitted)) <= best.fun + 1e-5


@pytest.mark.parametrize("votes", [0, 9])
def test_fit_of_a_panel_that_always_agrees_is_finite(votes):
    prior = panel.fit(np.full(50, votes), 9)
    table = panel.agreement(9, 2, prior)
    assert np.isfinite(table).all()
    assert table[votes] == pytest.approx(float(votes > 0), abs=1e-3)


def test_fit_without_overdispersion_is_the_binomial():
    votes = np.full(100, 3)
    a, b = panel.fit(votes, 9)
    assert a / (a + b) == pytest.approx(1 / 3, rel=1e-3)
    assert a + b > 100


@pytest.mark.parametrize("votes", [[], [10], [-1]])
def test_fit_refuses_impossible_votes(votes):
    with pytest.raises(ValueError, match="from 0 to 9"):
        panel.fit(np.array(votes, int), 9)


@pytest.mark.parametrize("min_votes", [1, 2, 9])
def test_agreement_is_the_posterior_predictive(min_votes):
    prior = panel.BetaPrior(0.3, 1.4)
    k = np.arange(10)
    expected = stats.betabinom.sf(min_votes - 1, 9, prior.a + k, prior.b + 9 - k)
    table = panel.agreement(9, min_votes, prior)
    np.testing.assert_allclose(table, expected, rtol=1e-9)
    assert (np.diff(table) > 0).all()


def test_agreement_by_hand():
    # One observer, uniform prior: after a vote the rate is Beta(2, 1), of mean 2/3.
    np.testing.assert_allclose(panel.agreement(1, 1, panel.BetaPrior(1.0, 1.0)), [1 / 3, 2 / 3])


@pytest.mark.parametrize("min_votes", [0, 10])
def test_agreement_refuses_impossible_thresholds(min_votes):
    with pytest.raises(ValueError, match=rf"min_votes={min_votes} is not in 1\.\.9"):
        panel.agreement(9, min_votes, panel.BetaPrior(1.0, 1.0))


def test_soft_targets_are_calibrated_for_a_fresh_panel():
    prior = (0.4, 1.6)
    seen = votes_of(prior, 40_000)
    soft = panel.agreement(9, 2, panel.fit(seen, 9))
    # The rate after k votes is Beta(a + k, b + 9 - k), whatever panel is asked then.
    k = np.arange(10)
    fresh = stats.betabinom.sf(1, 9, prior[0] + k, prior[1] + 9 - k)
    np.testing.assert_allclose(soft, fresh, atol=1e-3)
