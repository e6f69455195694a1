from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import trapezoid
from scipy.stats import norm

from lddu.gaussian import Gaussian
from lddu.losses import Bank, empty_bank, supervised_contrastive
from lddu.losses.contrastive import compare, embed, label_state_classes

SIMILARITIES = ("cosine", "bhattacharyya")
# Also with positives summed class by class: ids below 4 are classes, others nobody's positives.
FORMS = (*SIMILARITIES, "cosine by class")
CLASSES = np.array([0, 1, 0, 0, 1, 2, -1])  # 2 has no positive in the batch, -1 is ignored
NONE = empty_bank(0, 6)


def evaluate(features, classes, bank, similarity="cosine", temperature=0.3, anchors="batch"):
    similarity, *by_class = similarity.split(maxsplit=1)
    return supervised_contrastive(
        features,
        classes,
        bank,
        temperature=temperature,
        similarity=similarity,
        anchors=anchors,
        num_classes=4 if by_class else None,
    )


@partial(jax.jit, static_argnames=("similarity", "anchors"))
def program(features, classes, bank, temperature, similarity, anchors):
    """Losses, and gradients of their sum with respect to features and bank."""

    def total(features, past):
        losses = evaluate(
            features, classes, bank._replace(features=past), similarity, temperature, anchors
        )
        return losses.sum(), losses

    return jax.grad(total, argnums=(0, 1), has_aux=True)(features, bank.features)


def loss(features, classes, bank, similarity="cosine", temperature=0.3, anchors="batch"):
    return np.asarray(program(features, classes, bank, temperature, similarity, anchors)[1])


def slopes(features, classes, past, past_classes, similarity="cosine", anchors="batch"):
    bank = bank_of(past, past_classes)
    return program(features, classes, bank, 0.3, similarity, anchors)[0]


def draw(seed, n, similarity, z=3):
    """Embeddings (n, 2 z) of random Gaussians, made in NumPy."""
    rng = np.random.default_rng(seed)
    mean, var = rng.normal(size=(n, z)), rng.uniform(0.2, 3, (n, z))
    if similarity.startswith("cosine"):
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        std = np.sqrt(var / var.sum(1, keepdims=True))
        return np.concatenate([mean, std], 1).astype(np.float32)
    return np.concatenate([mean, var], 1).astype(np.float32)


def overlap(a, b):
    """Bhattacharyya coefficient per dimension of two diagonal Gaussians, averaged in the log."""
    z = len(a) // 2
    (m1, v1), (m2, v2) = (x.astype(np.float64).reshape(2, z) for x in (a, b))
    coefficient = np.sqrt(2 * np.sqrt(v1 * v2) / (v1 + v2)) * np.exp(
        -0.25 * (m1 - m2) ** 2 / (v1 + v2)
    )
    return np.prod(coefficient) ** (1 / z)


def cosine(a, b):
    """Mean of the cosines of the two halves, each of which has norm 1."""
    return (a @ b) / 2


def slow(
    features, classes, bank_features, bank_classes, similarity, temperature=0.3, anchors="batch"
):
    """The documented formula, entry by entry."""
    keys = np.concatenate([features, bank_features]).astype(np.float64)
    ids = np.concatenate([classes, bank_classes])
    likeness = cosine if similarity.startswith("cosine") else overlap
    losses = np.zeros(len(features) if anchors == "batch" else len(keys))
    for i in range(len(losses)):
        others = [j for j in range(len(keys)) if j != i and ids[j] >= 0]
        positives = [j for j in others if ids[j] == ids[i]]
        if ids[i] < 0 or not positives:
            continue
        score = {j: np.exp(likeness(keys[i], keys[j]) / temperature) for j in others}
        total = sum(score.values())
        losses[i] = -np.mean([np.log(score[p] / total) for p in positives])
    return losses


def bank_of(features, classes):
    ones = np.ones(len(classes), np.float32)
    return Bank(features, np.asarray(classes, np.int32), ones, np.zeros((), np.int32))


compared = jax.jit(compare, static_argnums=2)


class TestEmbedAndCompare:
    def test_cosine_embeds_each_half_on_the_unit_sphere(self):
        q = Gaussian(jnp.array([[3.0, 4.0]]), jnp.array([[9.0, 16.0]]))
        want = [[0.6, 0.8, 0.6, 0.8]]
        np.testing.assert_allclose(embed(q, "cosine"), want, rtol=1e-5)

    def test_bhattacharyya_embeds_mean_and_variance(self):
        q = Gaussian(jnp.array([[3.0, 4.0]]), jnp.array([[9.0, 16.0]]))
        np.testing.assert_array_equal(embed(q, "bhattacharyya"), [[3, 4, 9, 16]])

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_like_itself_symmetric_and_bounded(self, similarity):
        f = draw(0, 5, similarity)
        s = compared(f, f, similarity)
        np.testing.assert_allclose(np.diag(s), 1, rtol=1e-5)
        np.testing.assert_allclose(s, s.T, rtol=1e-5, atol=1e-5)
        assert (np.abs(s) <= 1 + 1e-5).all()
        assert s[0, 1] < 0.99

    def test_bhattacharyya_equals_quadrature(self):
        x = np.linspace(-30, 30, 60_001)
        for a, b in [((0, 1), (1, 4)), ((-2, 0.3), (0.5, 0.1)), ((0, 1), (0, 1))]:
            density = [norm.pdf(x, m, np.sqrt(v)) for m, v in (a, b)]
            want = trapezoid(np.sqrt(density[0] * density[1]), x)
            got = compared(np.float32([a]), np.float32([b]), "bhattacharyya")
            np.testing.assert_allclose(got[0, 0], want, rtol=1e-4)
            np.testing.assert_allclose(overlap(np.array(a), np.array(b)), want, rtol=1e-4)

    def test_bhattacharyya_is_a_root_over_dimensions(self):
        a, b = draw(1, 70, "bhattacharyya"), draw(2, 3, "bhattacharyya")
        want = [[overlap(x, y) for y in b] for x in a]  # 70 rows: more than one block
        np.testing.assert_allclose(compared(a, b, "bhattacharyya"), want, rtol=1e-4)

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_gradient_is_finite_at_zero_mean_and_extremes(self, similarity):
        q = Gaussian(jnp.array([[0.0, 0.0], [1e4, -1e4]]), jnp.array([[1e-4] * 2, [1e4] * 2]))

        def total(q):
            f = embed(q, similarity)
            return compare(f, f, similarity).sum()

        assert all(np.isfinite(g).all() for g in jax.jit(jax.grad(total))(q))


@pytest.mark.parametrize("similarity", FORMS)
class TestSupervisedContrastive:
    def test_equals_the_double_loop(self, similarity):
        features, past = draw(0, 7, similarity), draw(1, 5, similarity)
        past_classes = np.array([2, -1, 0, 5, -1])
        got = loss(features, CLASSES, bank_of(past, past_classes), similarity)
        want = slow(features, CLASSES, past, past_classes, similarity)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        assert (np.asarray(got[:6]) > 0).all()
        assert got[6] == 0

    def test_anchors_in_the_bank_equal_the_double_loop(self, similarity):
        features, past = draw(0, 7, similarity), draw(1, 5, similarity)
        past_classes = np.array([2, -1, 0, 5, 0])
        bank = bank_of(past, past_classes)
        got = loss(features, CLASSES, bank, similarity, anchors="bank")
        want = slow(features, CLASSES, past, past_classes, similarity, anchors="bank")
        assert got.shape == (12,)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        # The batch's own come first and are the same; ignored or alone in its class gives 0.
        np.testing.assert_allclose(got[:7], loss(features, CLASSES, bank, similarity), rtol=1e-4)
        np.testing.assert_array_equal(np.asarray(got[7:]) > 0, [True, False, True, False, True])

    def test_anchors_in_the_bank_teach_the_batch_only(self, similarity):
        past, past_classes = draw(1, 5, similarity), np.array([2, -1, 0, 5, 0])
        args = draw(0, 7, similarity), CLASSES, past, past_classes, similarity
        own, banked = slopes(*args, anchors="bank")
        np.testing.assert_array_equal(banked, 0)
        assert np.abs(own - slopes(*args)[0])[:6].max() > 1e-3
        # Against finite differences of the double loop, which holds the bank still.
        step = np.zeros((7, 6))
        step[0, 1] = 1e-4
        up, down = (slow(args[0] + s * step, *args[1:], anchors="bank").sum() for s in (1.0, -1.0))
        np.testing.assert_allclose(own[0, 1], (up - down) / 2e-4, rtol=1e-2, atol=1e-4)

    def test_empty_bank_equals_no_bank(self, similarity):
        features = draw(0, 7, similarity)
        got = loss(features, CLASSES, empty_bank(5, 6), similarity)
        np.testing.assert_allclose(got, loss(features, CLASSES, NONE, similarity), rtol=1e-5)
        np.testing.assert_allclose(
            got, slow(features, CLASSES, np.zeros((0, 6)), [], similarity), rtol=1e-4, atol=1e-5
        )

    @pytest.mark.parametrize("filler", [0.0, np.nan, np.inf, 1e4])
    def test_ignored_equals_subset(self, similarity, filler):
        features, past = draw(0, 7, similarity), draw(1, 5, similarity)
        ids = np.array([0, -1, 0, 1, -1, 1, 0])
        past_ids = np.array([-1, 1, 2, -1, -1])
        keep, past_keep = ids >= 0, past_ids >= 0
        filled = np.where(keep[:, None], features, np.float32(filler))
        past_filled = np.where(past_keep[:, None], past, np.float32(filler))

        got = loss(filled, ids, bank_of(past_filled, past_ids), similarity)
        want = loss(
            features[keep], ids[keep], bank_of(past[past_keep], past_ids[past_keep]), similarity
        )
        np.testing.assert_allclose(got[keep], want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got[~keep], 0)

        got, _ = slopes(filled, ids, past_filled, past_ids, similarity)
        want, _ = slopes(
            features[keep], ids[keep], past[past_keep], past_ids[past_keep], similarity
        )
        np.testing.assert_allclose(got[keep], want, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(got[~keep], 0)

    def test_no_gradient_reaches_the_bank(self, similarity):
        features, past = draw(0, 7, similarity), draw(1, 5, similarity)
        own, banked = slopes(features, CLASSES, past, np.array([2, -1, 0, 5, -1]), similarity)
        np.testing.assert_array_equal(banked, 0)
        # Anchor 5 has its only positive in the bank and still learns from it.
        assert (own[5] != 0).any()

    @pytest.mark.parametrize("ids", [[-1] * 7, [0, 1, 2, 3, 4, 5, 6], [-1, 3, -1, 2, -1, -1, -1]])
    def test_without_positives_value_and_gradient_vanish(self, similarity, ids):
        features = draw(0, 7, similarity)
        np.testing.assert_array_equal(loss(features, np.array(ids), NONE, similarity), 0)
        own, _ = slopes(features, np.array(ids), *NONE[:2], similarity)
        np.testing.assert_array_equal(own, 0)

    @pytest.mark.parametrize("anchors", ["batch", "bank"])
    @pytest.mark.parametrize("ids", [[-1] * 7, [4, -1, -1, -1, -1, -1, -1], [0, 1, 2, 3, 4, 5, 6]])
    def test_nothing_in_batch_and_bank_costs_nothing(self, similarity, ids, anchors):
        # Sums over no keys at all, in one part or in both, whose logarithm is that of 0.
        features, past = draw(0, 7, similarity), np.full((5, 6), np.nan, np.float32)
        empty = np.full(5, -1)
        got = loss(features, np.array(ids), bank_of(past, empty), similarity, anchors=anchors)
        np.testing.assert_array_equal(got, 0)
        for slope in slopes(features, np.array(ids), past, empty, similarity, anchors):
            np.testing.assert_array_equal(slope, 0)

    @pytest.mark.parametrize("anchors", ["batch", "bank"])
    def test_an_entry_alone_in_its_batch_learns_from_the_bank(self, similarity, anchors):
        features, past = draw(0, 7, similarity), draw(1, 5, similarity)
        ids, past_ids = np.array([-1, -1, 2, -1, -1, -1, -1]), np.array([2, -1, 0, 2, -1])
        got = loss(features, ids, bank_of(past, past_ids), similarity, anchors=anchors)
        args = ids, past, past_ids, similarity, 0.3, anchors
        np.testing.assert_allclose(got, slow(features, *args), rtol=1e-4, atol=1e-5)
        assert got[2] > 0
        own, banked = slopes(features, ids, past, past_ids, similarity, anchors)
        assert np.isfinite(own).all()
        np.testing.assert_array_equal(banked, 0)
        np.testing.assert_array_equal(own[ids < 0], 0)
        step = np.zeros((7, 6))
        step[2, 1] = 1e-4
        up, down = (slow(features + s * step, *args).sum() for s in (1.0, -1.0))
        np.testing.assert_allclose(own[2, 1], (up - down) / 2e-4, rtol=1e-2, atol=1e-4)


@given(
    ids=hnp.arrays(np.int64, 7, elements=st.integers(-1, 2)),
    past_ids=hnp.arrays(np.int64, 5, elements=st.integers(-1, 3)),
    anchors=st.sampled_from(["batch", "bank"]),
    hot=st.booleans(),
    form=st.sampled_from(["cosine", "cosine by class"]),
)
@settings(max_examples=30)
def test_batch_and_bank_apart_equal_the_double_loop_over_both(ids, past_ids, anchors, hot, form):
    temperature = 1.0 if hot else 0.02
    features, past = draw(0, 7, "cosine"), draw(1, 5, "cosine")
    got = loss(features, ids, bank_of(past, past_ids), form, temperature, anchors=anchors)
    want = slow(features, ids, past, past_ids, "cosine", temperature, anchors)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    own, banked = slopes(features, ids, past, past_ids, form, anchors)
    plain, _ = slopes(features, ids, past, past_ids, "cosine", anchors)
    np.testing.assert_allclose(own, plain, rtol=1e-4, atol=1e-5)
    assert np.isfinite(own).all()
    np.testing.assert_array_equal(banked, 0)


def test_by_hand():
    # Orthogonal classes, t = 1/2: the positive scores e^2, each of two negatives e^0.
    features = np.sqrt(np.float32([[2, 0], [2, 0], [0, 2], [0, 2]]))
    none = empty_bank(0, 2)
    got = jax.jit(supervised_contrastive)(features, np.array([0, 0, 1, 1]), none, temperature=0.5)
    np.testing.assert_allclose(got, np.full(4, np.log(1 + 2 * np.exp(-2))), rtol=1e-5)


def test_small_temperature_stays_finite():
    got = loss(draw(0, 7, "cosine"), CLASSES, NONE, temperature=1e-4)
    assert np.isfinite(got).all()


def test_a_descent_step_pulls_classes_together():
    # The loss falls along its negative gradient, by the squared norm of the gradient per length.
    features, size = draw(3, 7, "cosine"), 1e-3
    slope, _ = slopes(features, CLASSES, *NONE[:2])
    moved = features - size * slope
    fall = loss(features, CLASSES, NONE).sum() - loss(moved, CLASSES, NONE).sum()
    np.testing.assert_allclose(fall, size * np.square(slope).sum(), rtol=0.2)


class TestLabelStateClasses:
    labels = np.array([[1.0, 0.0], [0.5, 0.49]])

    def test_modalities_share_classes(self):
        ids = label_state_classes(self.labels, 2, np.ones((2, 2), bool), cross_modal=True)
        # Present: 0 and 1. Absent: 2 and 3. At one half a label is present.
        np.testing.assert_array_equal(ids, [[[0, 3], [0, 3]], [[0, 3], [0, 3]]])

    def test_modalities_apart(self):
        ids = label_state_classes(self.labels, 3, np.ones((2, 3), bool), cross_modal=False)
        np.testing.assert_array_equal(ids[0], [[0, 3], [4, 7], [8, 11]])

    @pytest.mark.parametrize("cross_modal", [True, False])
    def test_missing_entries(self, cross_modal):
        where = np.array([[True, False], [False, False]])
        ids = label_state_classes(self.labels, 2, where, cross_modal=cross_modal)
        np.testing.assert_array_equal(ids, [[[0, 3], [-1, -1]], [[-1, -1], [-1, -1]]])
