import numpy as np
import pytest
from scipy import stats

from lddu.metrics.bins import Bins, assign
from lddu.plots.proportions import effective_numbers, wilson_interval


def one_bin(values):
    return Bins(np.array([0.0, 1.0]), np.zeros(values.shape, int), (1,))


def test_wilson_interval_of_textbook_values():
    # Wilson's interval for 8 of 10: [0.4902, 0.9433]; for 0 of 10: [0, z^2 / (10 + z^2)].
    low, high = wilson_interval([0.8, 0.0, 1.0, np.nan], [10, 10, 10, 0])
    np.testing.assert_allclose(low, [0.4902, 0.0, 0.7225, 0.0], atol=1e-4)
    np.testing.assert_allclose(high, [0.9433, 0.2775, 1.0, 1.0], atol=1e-4)


def test_rows_of_one_entry_are_worth_kishs_number():
    rng = np.random.default_rng(0)
    probs, labels = rng.random((50, 1)), np.round(rng.random((50, 1)))
    weights = np.repeat([0.0, 1.0, 3.0], [10, 20, 20])[:, None]
    bins = assign(probs, weights, 3, False, "width")
    found = effective_numbers(bins, np.arange(50), labels, weights)
    for k in range(3):
        own = weights[bins.index == k]
        assert found[k] == pytest.approx(own.sum() ** 2 / np.square(own).sum())


def test_copies_within_groups_add_nothing():
    labels = np.repeat([[1.0], [0.0], [1.0], [1.0]], 25, axis=0)
    unit = np.repeat(np.arange(4), 25)
    found = effective_numbers(one_bin(labels), unit, labels, np.ones_like(labels))
    # The variance of a mean of 4 is p (1 - p) / 3 when estimated, for a t distribution of 3.
    ratio = stats.norm.ppf(0.975) / stats.t.ppf(0.975, 3)
    np.testing.assert_allclose(found, 3 * ratio**2, rtol=1e-5)


def test_groups_that_all_agree_are_worth_at_most_their_number():
    labels = np.tile([[1.0], [0.0]], (20, 1))
    unit = np.repeat(np.arange(10), 4)  # each group holds two of either: no variance at all
    ones = np.ones_like(labels)
    assert 0 < effective_numbers(one_bin(labels), unit, labels, ones)[0] <= 10


def test_an_empty_bin_is_worth_nothing():
    probs = np.full((5, 1), 0.9)
    bins = assign(probs, np.ones((5, 1)), 2, False, "width")
    found = effective_numbers(bins, np.arange(5), np.ones((5, 1)), np.ones((5, 1)))
    assert found.tolist() == [0.0, 5.0]
