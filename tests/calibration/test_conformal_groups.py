"""Conformal control where rows of one group depend on each other."""

import numpy as np
import pytest

from lddu.calibration import conformal
from lddu.calibration.groups import averages, shares_of_rows
from lddu.metrics import checks

SPLITS = 500


def films(count, rows, spread, rng):
    """(count, rows, 4) probabilities and labels; in each film, labels are rarer or more common."""
    logits = 2 * rng.standard_normal((count, rows, 4)) - np.linspace(0, 2, 4)
    shift = spread * rng.standard_normal((count, 1, 1))
    labels = rng.random(logits.shape) < 1 / (1 + np.exp(-logits - shift))
    return 1 / (1 + np.exp(-logits)), labels


def flat(films, chosen):
    """Rows of the chosen films, and the film of each."""
    probs, labels = (x[chosen].reshape(-1, 4) for x in films)
    return probs, labels, np.repeat(np.arange(len(chosen)), films[0].shape[1])


def test_shares_and_averages_by_hand():
    unit = checks.groups(["b", "a", "b", "a", "c"], 5)
    assert unit.tolist() == [1, 0, 1, 0, 2]
    counted = np.array([True, True, True, False, False])
    assert shares_of_rows(unit, counted).tolist() == [0.5, 1, 0.5, 0, 0]
    values = np.array([[1.0], [0.25], [0], [9], [9]])
    mean, any_counted = averages(values, counted[:, None], unit)
    assert mean.tolist() == [[0.25], [0.5], [0]]
    assert any_counted.tolist() == [[True], [True], [False]]


def test_false_negative_rate_by_hand():
    # Film 0 loses a half with 0.2 and the other with 0.6; film 1 all with 0.4; film 2 has no label.
    probs = np.array([[0.2], [0.6], [0.4], [0.9], [0.1]])
    labels = np.array([[1], [1], [1], [0], [0]])
    groups = ["x", "x", "y", "y", "z"]
    # The sum of the losses may be 3 level - 1.
    for level, want in [(0.3, 0), (0.34, 0.2), (0.5, 0.4), (0.83, 0.4), (0.84, 0.6)]:
        state = conformal.fit_false_negative_rate(probs, labels, level, groups=groups)
        assert state.threshold == want
        state = conformal.fit_false_negative_rate_per_label(probs, labels, level, groups=groups)
        assert state.threshold == want
    # With the film without a label as one of loss 0, 4 level - 1.
    state = conformal.fit_false_negative_rate(probs, labels, 0.3, "zero", groups=groups)
    assert state.threshold == 0.2


def test_rows_are_groups_of_their_own_without_groups(fit_sets):
    (probs, labels), rng = films(1, 200, 0.0, np.random.default_rng(0)), np.random.default_rng(1)
    names = rng.permutation(200)
    plain = fit_sets(probs[0], labels[0], 0.6)
    # Bets go by the groups' numbers, so that those must be in the order of the rows.
    given = names if "rate" in fit_sets.__name__ else np.arange(200)
    named = fit_sets(probs[0], labels[0], 0.6, groups=given)
    np.testing.assert_array_equal(plain.threshold, named.threshold)


@pytest.mark.parametrize(
    "fit",
    [
        conformal.fit_false_negative_rate,
        conformal.fit_false_negative_rate_per_label,
        conformal.fit_precision,
    ],
)
def test_copies_of_a_row_in_its_group_are_no_new_evidence(fit):
    probs, labels = (x[0] for x in films(1, 60, 0.0, np.random.default_rng(0)))
    options = {"grid": [0.5, 0.6, 0.7]} if "precision" in fit.__name__ else {}
    groups = np.repeat(np.arange(60), 5)
    single = fit(probs, labels, 0.6, **options)
    copies = fit(probs[groups], labels[groups], 0.6, groups=groups, **options)
    assert np.all(single.found)
    np.testing.assert_array_equal(single.threshold, copies.threshold)


@pytest.mark.parametrize(
    "fit", [conformal.fit_false_negative_rate, conformal.fit_false_negative_rate_per_label]
)
def test_false_negative_rate_of_new_films_keeps_the_level(fit):
    pool, rng = films(80, 20, 2.0, np.random.default_rng(0)), np.random.default_rng(1)
    level, rates = 0.2, []
    for _ in range(SPLITS):
        order = rng.permutation(80)
        probs, labels, groups = flat(pool, order[:20])
        state = fit(probs, labels, level, groups=groups)
        sets = conformal.apply(state, pool[0][order[20:]].reshape(-1, 4)).reshape(60, 20, 4)
        labels = pool[1][order[20:]]
        lost = labels & ~sets
        if fit is conformal.fit_false_negative_rate:
            share, counted = lost.sum(2) / np.maximum(labels.sum(2), 1), labels.any(2)
            lost, labels = share[..., None], counted[..., None]
        positives = labels.sum(1)
        rates.append(np.sum(lost.sum(1) / np.maximum(positives, 1), 0) / np.sum(positives > 0, 0))
    error = 6 * np.std(rates, axis=0) / np.sqrt(SPLITS)  # a chance below 1e-8
    assert np.all(np.mean(rates, axis=0) < level + error)
    assert np.mean(rates, axis=0)[0] > level - 2 / 21 - error[0]


def violations(level, count, rows, spread, splits, grouped):
    """How often the expected precision of new films falls short, and how often one is found.

    Films are drawn from a pool with replacement, so the pool is the population.
    """
    rng = np.random.default_rng(0)
    pool = films(300, rows, spread, rng)
    fine = np.linspace(0, 1, 201)
    sets = pool[0][..., None] >= fine
    size = sets.sum(2)  # (films, rows, thresholds)
    loss = np.sum(sets & ~pool[1][..., None], 2) / np.maximum(size, 1)
    counted = (size > 0).sum(1)
    mean = loss.sum(1) / np.maximum(counted, 1)  # empty sets have no loss
    true = 1 - mean.sum(0) / np.maximum((counted > 0).sum(0), 1)
    short, found = [], []
    for _ in range(splits):
        probs, labels, groups = flat(pool, rng.integers(300, size=count))
        state = conformal.fit_precision(probs, labels, level, groups=groups if grouped else None)
        short.append(state.found and np.interp(state.threshold, fine, true) < level)
        found.append(state.found)
    return np.mean(short), np.mean(found)


def test_precision_in_new_films_is_kept_with_the_stated_confidence():
    short, found = violations(0.6, 30, 10, 2.0, SPLITS, grouped=True)
    assert short < 0.1 + 5 * np.sqrt(0.09 / SPLITS)  # a chance below 1e-6
    assert found > 0.5


def test_precision_is_not_kept_where_dependent_rows_pass_for_independent():
    # The rate is near 0.35, six standard errors above the 0.1 allowed.
    assert violations(0.6, 12, 30, 2.0, 150, grouped=False)[0] > 0.1


def test_bad_groups(fit_sets):
    with pytest.raises(ValueError, match=r"groups has shape \(3,\), must be one group per row.*4"):
        fit_sets(np.ones((4, 2)), np.ones((4, 2)), 0.5, groups=np.zeros(3))
