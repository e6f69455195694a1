import functools

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import sem

from lddu import metrics
from lddu.calibration import Identity, Platt, apply, choose, fit_matrix
from lddu.calibration.calibrators import fit_identity
from lddu.calibration.choice import assign_folds

SIMPLE = ("none", "temperature", "vector", "isotonic")


N = 120  # one shape, so that everything is compiled once


def simulate(n=N, confidence=1.0, expected=False):
    """True logits times `confidence`, and hard labels, or the expected ones: a law without luck."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(n, 3)) * 1.5
    labels = expit(true) if expected else (rng.random((n, 3)) < expit(true)).astype(np.float32)
    return (true * confidence).astype(np.float32), labels


def fit_rates(logits, labels, weights=None):
    """A candidate without compilation: base rates, whatever the logits."""
    weights = np.ones(len(logits)) if weights is None else weights
    rates = (weights @ np.asarray(labels) + 1) / (np.sum(weights) + 2)
    return Platt(np.zeros(labels.shape[1]), logit(rates))


def test_chooses_nothing_where_nothing_is_to_mend():
    # Each row is best as it is.
    choice = choose(*simulate(expected=True), SIMPLE)
    assert choice.name == "none"
    assert choice.state == Identity()
    assert [score.name for score in choice.scores] == list(SIMPLE)


def test_chooses_what_mends_it():
    logits, labels = simulate(confidence=3.0, expected=True)
    choice = choose(logits, labels, ("none", "temperature", "isotonic"))
    assert choice.name == "temperature"
    assert choice.state.temperature == pytest.approx(3.0, rel=0.1)  # by its prior
    assert choice.scores[0].excess > 5 * choice.scores[0].excess_error

    shifted = choose(logits + np.float32([0, 6, -6]), labels, SIMPLE)
    assert shifted.name == "vector"
    np.testing.assert_allclose(shifted.state.bias, [0, -2, 2], atol=0.5)  # by its prior

    bent = np.sign(logits) * 5 + 1e-3 * logits  # only the sign is left, and is over-confident
    assert choose(bent, labels, ("none", "isotonic")).name == "isotonic"


def test_scores_equal_cross_validation_by_hand():
    logits, labels = simulate(100)
    groups = np.random.default_rng(0).integers(0, 23, 100)
    candidates = {"rates": fit_rates, "none": fit_identity}
    choice = choose(logits, labels, candidates, folds=4, groups=groups, seed=3)
    fold = assign_folds(np.unique(groups, return_inverse=True)[1], np.ones(100), 4, 3)
    rows = np.empty((2, 100))
    for k in range(4):
        rates = expit(fit_rates(logits[fold != k], labels[fold != k]).bias)
        for n in np.flatnonzero(fold == k):
            rows[0, n] = metrics.nll(rates[None], labels[[n]])
            rows[1, n] = metrics.nll(expit(logits[[n]]), labels[[n]])
    np.testing.assert_allclose([s.nll for s in choice.scores], rows.mean(1), rtol=1e-5)
    assert choice.scores[1].nll == pytest.approx(metrics.nll(expit(logits), labels), rel=1e-5)
    assert choice.scores[0].excess == pytest.approx(rows[0].mean() - rows[1].mean(), rel=1e-4)
    assert choice.scores[1].excess == choice.scores[1].excess_error == 0
    assert choice.name == "none"


def test_standard_errors_equal_scipy_and_count_groups_not_rows():
    logits, labels = simulate(50)
    candidates = {"rates": fit_rates, "none": fit_identity}
    none = choose(logits, labels, candidates).scores[1]
    losses = [metrics.nll(expit(z[None]), y[None]) for z, y in zip(logits, labels, strict=True)]
    assert none.standard_error == pytest.approx(sem(losses), rel=1e-4)
    # Copies of a row, kept together, are no new evidence; kept apart they would be.
    copies = np.tile(logits, (4, 1)), np.tile(labels, (4, 1))
    grouped = choose(*copies, candidates, groups=np.tile(np.arange(50), 4)).scores[1]
    assert grouped.standard_error == pytest.approx(none.standard_error, rel=1e-4)
    apart = choose(*copies, candidates).scores[1]
    assert apart.standard_error == pytest.approx(none.standard_error / 2, rel=0.05)


def test_folds_are_balanced_keep_groups_whole_and_follow_the_seed():
    unit = np.repeat(np.arange(30), np.random.default_rng(0).integers(1, 9, 30))
    weight = np.ones(len(unit))
    fold = assign_folds(unit, weight, 5, 0)
    assert all(len(np.unique(fold[unit == g])) == 1 for g in range(30))
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 2
    np.testing.assert_array_equal(fold, assign_folds(unit, weight, 5, 0))
    assert (fold != assign_folds(unit, weight, 5, 1)).any()
    alone = assign_folds(np.arange(23), np.ones(23), 5, 0)
    np.testing.assert_array_equal(np.bincount(alone), [5, 5, 5, 4, 4])


def test_within_the_noise_the_simplest_is_taken_though_another_is_best():
    # Ten rows at each probability, with as many positives as it says: their logits fit best.
    shares = np.repeat(np.arange(1, 10), 10)
    logits = logit(shares / 10)[:, None].astype(np.float32)
    labels = (np.tile(np.arange(10), 9) < shares)[:, None].astype(np.float32)

    def scale(slope):
        return lambda logits, labels, weights=None: Platt(np.full(1, slope), np.zeros(1))

    candidates = {"none": fit_identity, "steeper": scale(1 / 0.97), "flat": scale(0.2)}
    choice = choose(logits * 0.97, labels, candidates)
    none, steeper, flat = choice.scores
    assert steeper.excess == 0 < none.excess < none.excess_error
    assert flat.excess > flat.excess_error
    assert choice.name == "none"
    backwards = dict(reversed(candidates.items()))
    assert choose(logits * 0.97, labels, backwards).name == "steeper"


def test_a_candidate_with_other_settings_can_be_passed():
    logits, labels = simulate(100)
    stiff = functools.partial(fit_matrix, shrinkage=1e6, off_diagonal=1e6)
    choice = choose(logits, labels, {"stiff": stiff})
    np.testing.assert_allclose(apply(choice.state, logits), logits, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": ("none", "magic")}, "candidates contains 'magic'; choose from 'none'"),
        ({"candidates": ()}, "candidates is empty"),
        ({"folds": 1}, "folds=1 must be at least 2"),
        ({"folds": 9}, "folds=9 .* 8"),
        ({"groups": np.arange(3)}, r"groups has shape \(3,\).*\(8,\)"),
        ({"groups": np.zeros(8)}, "folds=5 .* groups .* 1"),
        ({"labels": np.full((8, 2), -1.0)}, r"labels \(8, 2\) must lie in \[0, 1\]"),
    ],
)
def test_bad_input(change, message):
    arguments = {"logits": np.zeros((8, 2)), "labels": np.zeros((8, 2))} | change
    with pytest.raises(ValueError, match=message):
        choose(**arguments)
