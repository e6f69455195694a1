import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.calibration import conformal


def enumerated(probs):
    """Expected shares from all combinations of labels."""
    shares = np.zeros_like(probs)
    for combination in itertools.product((0, 1), repeat=probs.shape[1]):
        y = np.array(combination)
        chance = np.prod(np.where(y, probs, 1 - probs), axis=1, keepdims=True)
        shares += chance * y / max(y.sum(), 1)
    return shares


@given(st.integers(0, 10_000), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_expected_share_equals_enumeration(seed, labels):
    rng = np.random.default_rng(seed)
    probs = np.where(rng.random((5, labels)) < 0.2, rng.integers(0, 2), rng.random((5, labels)))
    got = conformal.expected_share(probs)
    np.testing.assert_allclose(got, enumerated(probs), atol=1e-12)
    np.testing.assert_allclose(got.sum(1), 1 - np.prod(1 - probs, axis=1), atol=1e-12)


@pytest.mark.parametrize("labels", [28, 200])
def test_expected_share_of_many_labels_equals_the_poisson_binomial_law(labels):
    probs = np.random.default_rng(0).beta(0.3, 2, (3, labels))
    got = conformal.expected_share(probs)
    for row, shares in zip(probs, got, strict=True):
        for c in (0, labels - 1):
            law = np.ones(1)
            for p in np.delete(row, c):
                law = np.convolve(law, [1 - p, p])
            want = row[c] * np.sum(law / np.arange(1, labels + 1))
            assert shares[c] == pytest.approx(want, rel=1e-9)


def test_equal_certain_labels_share_equally():
    np.testing.assert_allclose(conformal.expected_share(np.ones((1, 40))), 1 / 40, rtol=1e-9)
    state = conformal.RiskControl(np.array(0.4), np.array(True), "share")
    # Rank by probability would drop the label of the second row, whose one label it may be.
    probs = [[0.6, 0.9, 0.9], [0.5, 0.0, 0.1]]
    assert conformal.apply(state, probs).tolist() == [[False, False, False], [True, False, False]]


@given(st.integers(0, 10_000), st.floats(0.02, 0.5))
@settings(max_examples=40, deadline=None)
def test_no_ranking_by_probability_makes_smaller_sets_at_the_same_expected_miss(seed, cut):
    probs = np.random.default_rng(seed).beta(0.5, 1, (60, 5))
    shares = conformal.expected_share(probs)
    by_share = shares >= cut
    missed = shares[~by_share].sum()
    by_probability = [probs >= t for t in np.append(np.unique(probs), 2.0)]
    allowed = [sets.sum() for sets in by_probability if shares[~sets].sum() <= missed]
    assert min(allowed) >= by_share.sum()


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.full((2, 2), np.nan), r"probs \(2, 2\) holds 4 NaN"),
        (np.full((2, 2), 1.5), r"probs \(2, 2\) must lie in \[0, 1\]"),
        (np.ones(2), r"probs has shape \(2,\)"),
    ],
)
def test_bad_input(probs, message):
    with pytest.raises(ValueError, match=message):
        conformal.expected_share(probs)
    with pytest.raises(ValueError, match="rank='size'; choose one of 'probability', 'share'"):
        conformal.fit_false_negative_rate(np.ones((2, 2)), np.ones((2, 2)), 0.5, rank="size")
