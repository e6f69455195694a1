import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from lddu import metrics


def example(seed=0, n=60, c=4):
    """Informative probabilities, and labels with empty rows."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, c)) < np.linspace(0.1, 0.6, c)
    probs = 1 / (1 + np.exp(-(rng.normal(size=(n, c)) + 2 * labels - 1)))
    return probs, labels.astype(int)


@st.composite
def cases(draw):
    """Small probabilities with many ties, and labels that are often of one class."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    probs = draw(hnp.arrays(float, shape, elements=st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])))
    return probs, draw(hnp.arrays(int, shape, elements=st.integers(0, 1)))


@pytest.mark.parametrize("seed", [0, 1])
def test_decision_metrics_equal_scikit_learn(seed):
    probs, labels = example(seed)
    decisions = metrics.threshold(probs, 0.7)
    assert not (decisions | labels.astype(bool)).any(1).all()  # the empty convention is exercised
    for empty, division in (("one", 1.0), ("zero", 0.0)):
        want = sk.jaccard_score(labels, decisions, average="samples", zero_division=division)
        np.testing.assert_allclose(metrics.jaccard(decisions, labels, empty), want)
    assert metrics.hamming_loss(decisions, labels) == pytest.approx(
        sk.hamming_loss(labels, decisions)
    )
    assert metrics.exact_match(decisions, labels) == pytest.approx(
        sk.accuracy_score(labels, decisions)
    )


@pytest.mark.parametrize("average", ["micro", "macro", "none"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_precision_recall_f1_equal_scikit_learn(name, average):
    probs, labels = example(2, c=6)
    labels[:, 1] = 0
    decisions = metrics.threshold(probs, 0.6)
    decisions[:, :1] = False  # label 0: nothing predicted
    decisions[:, 1] = False  # label 1: nothing predicted, no positive
    oracle = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[name]
    want = oracle(
        labels, decisions, average=None if average == "none" else average, zero_division=0
    )
    got = getattr(metrics, name)(decisions, labels, average)
    np.testing.assert_allclose(got, want)
    assert isinstance(got, float) or (average == "none" and got.shape == (6,))


@given(cases(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_order_of_samples_and_labels_does_not_matter_and_bounds_hold(case, seed):
    probs, labels = case
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(probs)), rng.permutation(probs.shape[1])
    moved = [x[rows][:, columns] for x in case]
    for name in ("jaccard", "hamming_loss", "exact_match", "precision", "recall", "f1"):
        value = getattr(metrics, name)(metrics.threshold(probs), labels)
        assert getattr(metrics, name)(metrics.threshold(moved[0]), moved[1]) == pytest.approx(value)
        assert 0 <= value <= 1


def test_values_by_hand():
    labels = [[1, 0, 1], [0, 0, 0], [0, 1, 1]]
    decisions = [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    assert metrics.jaccard(decisions, labels) == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert metrics.jaccard(decisions, labels, "zero") == pytest.approx((1 / 3 + 0 + 1) / 3)
    assert metrics.hamming_loss(decisions, labels) == pytest.approx(2 / 9)
    assert metrics.exact_match(decisions, labels) == pytest.approx(2 / 3)
    assert metrics.precision(decisions, labels) == pytest.approx(3 / 4)
    np.testing.assert_allclose(metrics.f1(decisions, labels, "none"), [1, 2 / 3, 2 / 3])


def test_threshold_includes_equality_and_takes_one_value_per_label():
    probs = np.array([[0.5, 0.5], [0.4, 0.7]])
    np.testing.assert_array_equal(metrics.threshold(probs), [[True, True], [False, True]])
    np.testing.assert_array_equal(
        metrics.threshold(probs, [0.4, 0.6]), [[True, False], [True, True]]
    )
    with pytest.raises(ValueError, match=r"thresholds has shape \(3,\).*\(2,\)"):
        metrics.threshold(probs, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="thresholds holds NaN"):
        metrics.threshold(probs, np.nan)


def test_unknown_options_list_the_choices():
    labels = np.array([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="average='weighted'; choose one of 'micro'"):
        metrics.f1(labels, labels, "weighted")
    with pytest.raises(ValueError, match="empty='nan'; choose one of 'one', 'zero'"):
        metrics.jaccard(labels, labels, "nan")
