import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from lddu.calibration.conformal import testing

ERROR = 0.1


def sequences(values, length):
    """Every sequence of these losses as a column, and how often each value occurs in it."""
    losses = np.array(list(itertools.product(values, repeat=length)), float).T
    return losses, np.array([(losses == value).sum(0) for value in values])


def column(errors, n):
    """Losses (n, 1), the errors first."""
    return (np.arange(n) < errors)[:, None].astype(float)


@pytest.mark.parametrize(
    ("errors", "n"), [(0, 1), (0, 30), (5, 30), (80, 500), (19_000, 100_000), (19_900, 100_000)]
)
def test_binomial_p_values_equal_scipy(errors, n):
    losses = np.concatenate([column(errors, n), np.ones((7, 1))])
    counted = np.arange(n + 7)[:, None] < n
    got = testing.binomial(losses, counted, 0.2)
    np.testing.assert_allclose(got, binom.cdf(errors, n, 0.2), rtol=1e-6)


def test_without_evidence_p_values_are_1():
    for counted in (np.zeros((3, 1), bool), np.zeros((0, 1), bool)):
        assert testing.binomial(column(1, 3)[: len(counted)], counted, 0.2) == 1
        assert testing.betting(column(1, 3)[: len(counted)], counted, 0.2, ERROR) == 1
    assert testing.binomial(column(1, 3), column(3, 3) > 0, 0.2) == 1


@pytest.mark.parametrize("bound", [0.1, 0.25, 0.6])
@pytest.mark.parametrize("values", [(0, 1), (0, 0.5, 1)])
def test_betting_rejects_a_true_hypothesis_no_more_often_than_the_level(values, bound):
    # All sequences of losses whose mean is just the bound, each with its exact probability: no
    # level a is exceeded by the probability of a p-value up to a.
    losses, counts = sequences(values, 14 if len(values) == 2 else 8)
    spread = 0.3 * bound * (1 - bound)
    law = (
        [1 - bound - spread, 2 * spread, bound - spread] if len(values) == 3 else [1 - bound, bound]
    )
    probability = np.prod(np.array(law)[:, None] ** counts, axis=0)
    assert np.dot(values, law) == pytest.approx(bound)
    for error in (0.02, ERROR, 0.5):
        p_values = testing.betting(losses, np.ones(losses.shape, bool), bound, error)
        order = np.argsort(p_values)
        reached = np.cumsum(probability[order])
        last = np.append(np.diff(p_values[order]) > 1e-12, True)
        assert np.all(reached[last] <= p_values[order][last] * (1 + 1e-6))


@pytest.mark.parametrize(("bound", "rate"), [(0.25, 0.05), (0.25, 0.1), (0.5, 0.25)])
def test_betting_has_nearly_the_power_of_the_exact_test_and_more_than_hoeffding_bentkus(
    bound, rate
):
    losses, (right, wrong) = sequences((0, 1), 16)
    probability = rate**wrong * (1 - rate) ** right
    betting = testing.betting(losses, np.ones(losses.shape, bool), bound, ERROR) <= ERROR
    bounds = compute_hoeffding_bentkus_p_value(wrong / 16, np.full(len(wrong), 16), bound)[:, 0]
    most = binom.ppf(ERROR, 16, bound) - 1  # errors with which the exact test rejects
    # Randomised at one more error, it meets the level, and no test has more power (Neyman-Pearson).
    chance = (ERROR - binom.cdf(most, 16, bound)) / binom.pmf(most + 1, 16, bound)
    exact = np.where(wrong <= most, 1.0, np.where(wrong == most + 1, chance, 0.0))
    powers = [probability @ rejected for rejected in (bounds <= ERROR, betting, exact)]
    assert powers[0] + 0.1 < powers[1] <= powers[2] + 1e-9
    assert powers[1] > 0.75 * powers[2]


def test_betting_gains_from_a_small_variance():
    # Sixty losses of 0.4 show more than 24 errors among 60 would.
    losses = np.full((60, 1), 0.4)
    assert testing.betting(losses, losses > 0, 0.5, 0.01) <= 0.01
    assert binom.cdf(24, 60, 0.5) > 0.07


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_betting_equals_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    bound, error = rng.uniform(0.05, 0.95, 2)
    losses = rng.choice([0, 0.25, 1], (rng.integers(1, 40), 3), p=[0.7, 0.2, 0.1])
    counted = rng.random(losses.shape) < 0.7
    got = testing.betting(losses, counted, bound, error)
    for column, used, p_value in zip(losses.T, counted.T, got, strict=True):
        xs = column[used]
        wealth, highest = 1.0, 1.0
        for i, x in enumerate(xs):
            squares = 10 * bound * (1 - bound) + sum((xs[:i] - bound) ** 2)
            missing = max(np.log(1 / error) - np.log(max(wealth, 1e-300)), 0)
            stake = np.sqrt(2 * missing / ((len(xs) - i) * squares / (10 + i)))
            wealth *= max(1 - min(stake, 1 / (1 - bound)) * (x - bound), 0)
            highest = max(highest, wealth)
        assert p_value == pytest.approx(1 / highest, rel=1e-6)


@given(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2]), min_size=1, max_size=6))
def test_the_sequence_of_tests_equals_mapie(p_values):
    rejected = control_fwer(p_values, ERROR, "fixed_sequence")
    want = rejected[-1] if len(rejected) else np.inf
    got = testing.last_rejected(np.array(p_values), np.arange(len(p_values)), ERROR)
    assert got == want
