"""A soft label counts as a present and an absent entry that share its weight."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu import metrics

VOTES = 4


def of_decisions(score, *args):
    return lambda p, y, **w: score(p >= 0.4, y, *args, **w)


# All that are linear in the weights of presence and absence, or ratios of such sums.
OF_VOTES = {
    "nll": metrics.nll,
    "ece": metrics.ece,
    "ece_macro": lambda p, y, **w: metrics.ece(p, y, 4, "macro", "mass", **w),
    "mce": metrics.mce,
    "auroc": lambda p, y, **w: metrics.auroc(p, y, "none", **w),
    "map": lambda p, y, **w: metrics.average_precision(p, y, "none", **w),
    "hamming_loss": of_decisions(metrics.hamming_loss),
    **{
        f"{score.__name__} {average}": of_decisions(score, average)
        for score in (metrics.precision, metrics.recall, metrics.f1)
        for average in ("micro", "macro", "none")
    },
    "error_detection": lambda p, y, **w: metrics.per_label(
        metrics.error_detection, metrics.wrong(p >= 0.4, y), p, **w
    ),
}


def votes(rows=9, labels=2, seed=0):
    """Probabilities with ties, and hard labels (VOTES, N, C) of annotators."""
    rng = np.random.default_rng(seed)
    probs = np.round(rng.random((rows, labels)), 1)
    return probs, (rng.random((VOTES, rows, labels)) < 0.2 + 0.6 * probs).astype(float)


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_a_soft_label_is_as_many_rows_as_it_has_votes(seed):
    probs, labels = votes(seed=seed)
    labels[:, :, 0] = np.where(np.arange(9) == 0, 1, labels[:, :, 0])
    weights = np.random.default_rng(seed).exponential(size=9)
    for name, score in OF_VOTES.items():
        soft = score(probs, labels.mean(0), weights=weights)
        each = score(
            np.tile(probs, (VOTES, 1)), labels.reshape(-1, 2), weights=np.tile(weights, VOTES)
        )
        np.testing.assert_allclose(soft, each, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_debiased_error_is_that_of_rows_whose_votes_are_a_group():
    probs, labels = votes(30)
    grouped = {"bins": 4, "squared": True, "groups": np.tile(np.arange(30), VOTES)}
    each = metrics.ece_debiased(np.tile(probs, (VOTES, 1)), labels.reshape(-1, 2), **grouped)
    soft = metrics.ece_debiased(probs, labels.mean(0), bins=4, squared=True)
    assert soft == pytest.approx(each)


def test_aurc_is_its_mean_over_the_votes():
    probs, soft = np.array([0.1, 0.45, 0.5, 0.8]), np.array([0.25, 0.5, 0, 1])
    uncertainty, mean = probs * (1 - probs), 0.0
    for outcome in itertools.product([0, 1], repeat=4):
        wrong = metrics.wrong(probs[:, None] >= 0.5, np.array(outcome)[:, None])[:, 0]
        mean += np.prod(np.where(outcome, soft, 1 - soft)) * metrics.aurc(wrong, uncertainty)
    share = metrics.wrong(probs[:, None] >= 0.5, soft[:, None])[:, 0]
    assert metrics.aurc(share, uncertainty) == pytest.approx(mean)


def test_the_brier_score_of_votes_is_higher_by_their_variance():
    probs, labels = votes(seed=3)
    soft = labels.mean(0)
    each = metrics.brier(np.tile(probs, (VOTES, 1)), labels.reshape(-1, 2))
    assert each == pytest.approx(metrics.brier(probs, soft) + np.mean(soft * (1 - soft)))


def test_a_summary_of_soft_labels():
    probs, labels = votes(40, 3, seed=1)
    soft, decisions = labels.mean(0), probs >= 0.4
    row = metrics.summarise(probs, soft, 0.4)
    nothing = {name for name, value in row.items() if np.isnan(value)}
    assert nothing == {"jaccard", "jaccard_empty_zero", "exact_match"}
    assert row["micro_f1"] == metrics.f1(decisions, soft)
    assert row["map"] == metrics.average_precision(probs, soft)
    wrong, uncertainty = metrics.wrong(decisions, soft), probs * (1 - probs)
    assert row["aurc"] == metrics.aurc(wrong.ravel(), uncertainty.ravel())
    # A row of weight 0 may be soft.
    hard = np.where(np.arange(40)[:, None] == 0, 0.5, labels[0])
    weights = (np.arange(40) > 0).astype(float)
    want = metrics.summarise(probs[1:], labels[0, 1:], 0.4)
    assert metrics.summarise(probs, hard, 0.4, weights=weights) == pytest.approx(want)


@pytest.mark.parametrize("score", [metrics.jaccard, metrics.exact_match])
def test_metrics_of_rows_refuse_soft_labels(score):
    with pytest.raises(ValueError, match=r"labels \(1, 2\) must be 0 or 1.*labels >= 0.5"):
        score([[1, 0]], [[0.5, 0]])
