import functools

import chex
import jax
import numpy as np
import pytest
from scipy.special import expit, rel_entr, softmax

from lddu.losses import Bank, empty_bank, supervised_contrastive
from lddu.official.losses import official_spread, random_bank_entries

RNG = np.random.default_rng(0)
SPREAD = RNG.uniform(0, 2, (6, 3)).astype(np.float32)
LOGITS = RNG.normal(size=(6, 3)).astype(np.float32) * 3
ROWS = np.array([1, 0, 1, 1, 0, 1], bool)
spread_loss = jax.jit(official_spread)
slopes = jax.jit(jax.grad(official_spread, argnums=(0, 1)))
entries = jax.jit(random_bank_entries, static_argnums=(1, 2))


@functools.partial(jax.jit, static_argnums=3)
def contrast(features, classes, bank, anchors):
    return supervised_contrastive(features, classes, bank, temperature=0.3, anchors=anchors)


def official(spread, logits):
    """Two softmaxes over different axes, KL both ways."""
    spread, logits = spread.astype(np.float64), logits.astype(np.float64)
    v, c = softmax(spread), softmax(expit(logits), axis=1)
    return (rel_entr(c, v).sum() + rel_entr(v, c).sum()) / (2 * spread.size)


class TestOfficialSpread:
    logits = LOGITS

    @pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
    def test_equals_scipy(self, scale):
        got = spread_loss(np.float32(scale) * SPREAD, self.logits)
        assert got.shape == ()
        np.testing.assert_allclose(got, official(scale * SPREAD, self.logits), rtol=1e-4)

    def test_its_softmaxes_have_different_masses(self):
        # Equal everywhere: c = 1 / C and v = 1 / (B C), so B log B - log B, over 2 B C.
        zeros = np.zeros((6, 3), np.float32)
        got = spread_loss(zeros, zeros)
        np.testing.assert_allclose(got, (6 - 1) * np.log(6) / 36, rtol=1e-5)

    @pytest.mark.parametrize("filler", [0.0, np.nan, 1e30])
    def test_masked_equals_subset(self, filler):
        filled = [np.where(ROWS[:, None], x, np.float32(filler)) for x in (SPREAD, self.logits)]
        subset = [x[ROWS] for x in (SPREAD, self.logits)]
        np.testing.assert_allclose(spread_loss(*filled, ROWS), spread_loss(*subset), rtol=1e-4)
        for got, want in zip(slopes(*filled, ROWS), slopes(*subset, np.ones(4, bool)), strict=True):
            np.testing.assert_allclose(got[ROWS], want, rtol=1e-3, atol=1e-6)
            np.testing.assert_array_equal(got[~ROWS], 0)

    def test_weights_count_by_their_ratios(self):
        weights = np.float32([2, 0, 1, 0.5, 0, 4])
        rows = weights > 0
        relative = 4 * weights[rows, None] / weights.sum()
        v = np.exp(SPREAD[rows].astype(float))
        v /= (relative * v).sum()
        c = softmax(expit(self.logits[rows].astype(float)), axis=1)
        want = (relative * (rel_entr(c, v) + rel_entr(v, c))).sum() / (2 * 4 * 3)
        for scale in np.float32([1, 1e-20, 1e20]):
            got = spread_loss(SPREAD, self.logits, scale * weights)
            np.testing.assert_allclose(got, want, rtol=1e-4)

    def test_nothing_to_compare_gives_zero(self):
        assert spread_loss(SPREAD, self.logits, np.zeros(6, bool)) == 0

    def test_extremes_are_finite(self):
        extremes = np.float32(1e4) * SPREAD, np.float32(1e4) * self.logits, np.ones(6, bool)
        chex.assert_tree_all_finite((spread_loss(*extremes), slopes(*extremes)))


class TestRandomEntries:
    features, classes = entries(jax.random.key(0), 50, 6)

    def test_fit_into_a_bank(self):
        bank = empty_bank(50, 6)
        assert (self.features.shape, self.features.dtype) == (bank.features.shape, np.float32)
        assert (self.classes.shape, self.classes.dtype) == (bank.classes.shape, np.int32)

    def test_unit_norm_over_the_bank_and_not_over_features(self):
        norms = [np.linalg.norm(self.features, axis=axis) for axis in (0, 1)]
        np.testing.assert_allclose(norms[0], 1, rtol=1e-5)
        assert norms[1].max() < 0.9
        assert np.ptp(norms[1]) > 0.1
        # 300 entries of deviation 1 / sqrt(50): seven standard errors.
        assert abs(self.features.mean()) < 7 / np.sqrt(50 * 300)

    def test_comes_from_the_key(self):
        for key, equal in ((0, True), (1, False)):
            features, classes = entries(jax.random.key(key), 50, 6)
            assert np.array_equal(features, self.features) == equal
            np.testing.assert_array_equal(classes, self.classes)

    def test_is_nobodys_positive_and_everybodys_negative(self):
        assert len(np.unique(self.classes)) == 50
        assert self.classes.min() > 100_000  # label states are counted from 0
        rng = np.random.default_rng(0)
        mine = rng.normal(size=(7, 6)).astype(np.float32) / np.sqrt(3)
        ids, cursor = np.array([0, 1, 0, 0, 1, 2, -1]), np.zeros((), np.int32)
        bank = Bank(self.features, self.classes, np.ones(50, np.float32), cursor)
        got = contrast(mine, ids, bank, "bank")
        alone = contrast(mine, ids, empty_bank(0, 6), "batch")
        np.testing.assert_array_equal(got[7:], 0)
        np.testing.assert_array_equal(got[:7] > 0, alone > 0)
        # 50 more negatives of small similarity, where there were 5.
        assert (got[:5] > alone[:5] + 0.1).all()

    def test_of_no_slots(self):
        features, classes = entries(jax.random.key(0), 0, 6)
        assert (features.shape, classes.shape) == ((0, 6), (0,))
