import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import bernoulli
from sklearn.metrics import mutual_info_score

from lddu import metrics, uncertainty
from lddu.gaussian import Gaussian
from lddu.uncertainty import decompose_entropy, decompose_variance

SPLITS = [decompose_variance, decompose_entropy]
JITTED = {split: jax.jit(split) for split in SPLITS}
LIMITS = {decompose_variance: 0.25, decompose_entropy: np.log(2)}

members = hnp.arrays(
    np.float32, st.just((3, 2, 2)), elements=st.floats(0, 1, width=32, allow_subnormal=False)
)


def test_variance_by_hand():
    # Members 0 and 1: each certain, and in full disagreement.
    split = decompose_variance([[[0.0]], [[1.0]]])
    np.testing.assert_allclose(split, np.array([0.0, 0.25, 0.25]).reshape(3, 1, 1))
    split = decompose_variance([[[0.2]], [[0.4]]])
    np.testing.assert_allclose(np.ravel(split), [0.2, 0.01, 0.21], rtol=1e-6)


def test_variance_is_the_variance_of_a_draw_from_a_random_member():
    p = np.random.default_rng(0).random((4, 5, 3))
    split = decompose_variance(p)
    np.testing.assert_allclose(split.aleatoric, bernoulli(p).var().mean(0), rtol=1e-5)
    np.testing.assert_allclose(split.epistemic, p.var(0), rtol=1e-4)
    np.testing.assert_allclose(split.total, bernoulli(p.mean(0)).var(), rtol=1e-5)


def test_variance_of_another_probability_is_split_as_that_of_the_members():
    # Members of variance 0.21 = 0.2 + 0.01, and a probability of variance 0.25.
    split = decompose_variance([[[0.2]], [[0.4]]], [[0.5]])
    np.testing.assert_allclose(np.ravel(split), [0.25 * 20 / 21, 0.25 / 21, 0.25], rtol=1e-5)
    p = np.random.default_rng(0).random((4, 5, 3))
    for got, want in zip(decompose_variance(p, p.mean(0)), decompose_variance(p), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"probs has shape \(3,\), must be \(5, 3\)"):
        decompose_variance(p, p[0, 0])


@given(p=members, probs=members)
@settings(max_examples=30, deadline=None)
def test_the_parts_of_another_probability_are_bounded_and_sum_to_its_variance(p, probs):
    parts = JITTED[decompose_variance](p, probs[0])
    for part in parts:
        assert np.all(part >= 0)
        assert np.all(part <= 0.25 + 1e-6)
    np.testing.assert_allclose(parts.total, probs[0] * (1 - probs[0]), atol=1e-6)
    np.testing.assert_allclose(parts.aleatoric + parts.epistemic, parts.total, atol=1e-6)
    alone = JITTED[decompose_variance](p[:1], probs[0])
    np.testing.assert_array_equal(alone.epistemic, 0)
    np.testing.assert_array_equal(alone.aleatoric, alone.total)


def test_entropy_equals_scipy_and_scikit_learn():
    p = np.random.default_rng(1).random((4, 5, 3))
    split = decompose_entropy(p)
    np.testing.assert_allclose(split.total, bernoulli(p.mean(0)).entropy(), rtol=1e-5)
    np.testing.assert_allclose(split.aleatoric, bernoulli(p).entropy().mean(0), rtol=1e-5)
    # Counts of (member, outcome): the members are equally likely.
    joint = np.round(1e6 * np.stack([p, 1 - p], 1)).astype(int)
    for i, c in np.ndindex(5, 3):
        want = mutual_info_score(None, None, contingency=joint[:, :, i, c])
        np.testing.assert_allclose(split.epistemic[i, c], want, atol=1e-5)


def test_entropy_by_hand():
    split = decompose_entropy([[[0.0, 0.0, 1.0]], [[1.0, 0.0, 1.0]]])
    np.testing.assert_array_equal(split.aleatoric, [[0, 0, 0]])
    np.testing.assert_allclose(split.epistemic, [[np.log(2), 0, 0]], rtol=1e-6)


@pytest.mark.parametrize("split", SPLITS)
@given(p=members)
@settings(max_examples=30, deadline=None)
def test_parts_are_bounded_sum_to_the_total_and_ignore_order(split, p):
    split, limit = JITTED[split], LIMITS[split]
    parts = split(p)
    for part in parts:
        assert np.all(part >= 0)
        assert np.all(part <= limit + 1e-6)
    np.testing.assert_allclose(parts.aleatoric + parts.epistemic, parts.total, atol=1e-6)
    np.testing.assert_allclose(split(p[::-1]), parts, atol=1e-6)
    np.testing.assert_allclose(split(1 - p), parts, atol=1e-6)  # which outcome is called 1


@pytest.mark.parametrize("split", SPLITS)
def test_one_member_or_equal_members_have_no_epistemic_part(split):
    p = np.random.default_rng(2).random((1, 2, 2)).astype(np.float32)
    assert not np.any(split(p).epistemic)
    np.testing.assert_allclose(JITTED[split](np.repeat(p, 3, 0)).epistemic, 0, atol=1e-6)


@pytest.mark.parametrize("split", SPLITS)
def test_jit_changes_nothing_and_gradients_are_finite(split):
    p = jnp.array([[[0.0, 1.0, 0.3, 0.0]], [[1.0, 1.0, 0.6, 0.0]]])
    chex.assert_trees_all_close(JITTED[split](p), split(p), atol=1e-6)
    # Parts sum over samples and labels: (part, member, sample, label).
    gradients = jax.jit(jax.jacrev(lambda p: jnp.stack([part.sum() for part in split(p)])))(p)
    chex.assert_tree_all_finite(gradients)
    assert np.all(np.any(gradients[..., 2], axis=(1, 2)))


@pytest.mark.parametrize("split", SPLITS)
def test_no_member_is_an_error(split):
    with pytest.raises(ValueError, match=r"member_probs has shape \(0, 3, 2\).*probs\[None\]"):
        split(np.zeros((0, 3, 2)))
    with pytest.raises(ValueError, match=r"member_probs has shape \(\)"):
        split(0.5)


# ---- of this model ------------------------------------------------------------------------------


def test_latent_noise_is_the_mean_log_variance():
    var = np.exp(np.arange(6.0).reshape(1, 2, 3)).astype(np.float32)
    found = uncertainty.latent_noise(Gaussian(np.zeros_like(var), var))
    np.testing.assert_allclose(found, [[1.0, 4.0]], rtol=1e-6)


@given(hnp.arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32)))
@settings(max_examples=40, deadline=None)
def test_decision_risk_is_the_expected_error_of_the_decision(probs):
    thresholds = np.array([0.2, 0.5, 0.9], np.float32)
    decisions = metrics.threshold(probs, thresholds)
    want = np.where(decisions, 1 - probs, probs)
    np.testing.assert_allclose(uncertainty.decision_risk(probs, thresholds), want, atol=1e-6)
    half = uncertainty.decision_risk(probs)
    np.testing.assert_allclose(half, 1 - np.maximum(probs, 1 - probs), atol=1e-6)
