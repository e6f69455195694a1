import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from lddu import metrics


def example(seed=0, n=60, c=4, levels=None):
    """Informative probabilities, rounded to `levels` for ties, and labels with empty rows."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, c)) < np.linspace(0.1, 0.6, c)
    probs = 1 / (1 + np.exp(-(rng.normal(size=(n, c)) + 2 * labels - 1)))
    return (probs if levels is None else np.round(probs * levels) / levels), labels.astype(int)


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


@pytest.mark.parametrize("levels", [None, 5])
def test_ranking_metrics_equal_scikit_learn_with_and_without_ties(levels):
    probs, labels = example(3, levels=levels)
    for ours, oracle in (
        (metrics.auroc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
    ):
        want = [oracle(labels[:, c], probs[:, c]) for c in range(labels.shape[1])]
        np.testing.assert_allclose(ours(probs, labels, "none"), want)
        assert ours(probs, labels) == pytest.approx(np.mean(want))


@given(cases())
@settings(max_examples=60, deadline=None)
def test_ranking_metrics_equal_scikit_learn_on_degenerate_cases(case):
    probs, labels = case
    areas = metrics.auroc(probs, labels, "none")
    precisions = metrics.average_precision(probs, labels, "none")
    for c in range(labels.shape[1]):
        if len(set(labels[:, c])) < 2:
            assert np.isnan(areas[c])
            assert np.isnan(precisions[c])
        else:
            assert areas[c] == pytest.approx(sk.roc_auc_score(labels[:, c], probs[:, c]))
            assert precisions[c] == pytest.approx(
                sk.average_precision_score(labels[:, c], probs[:, c])
            )


@given(cases(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_order_of_samples_and_labels_does_not_matter_and_bounds_hold(case, seed):
    probs, labels = case
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(probs)), rng.permutation(probs.shape[1])
    moved = [x[rows][:, columns] for x in case]
    for name in ("auroc", "average_precision"):
        value = getattr(metrics, name)(probs, labels)
        np.testing.assert_allclose(getattr(metrics, name)(*moved), value)
        assert np.isnan(value) or 0 <= value <= 1
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
    # One of the two positives is above the negative, the other is tied with it.
    column = metrics.auroc([[0.2], [0.2], [0.9]], [[0], [1], [1]])
    assert column == pytest.approx(0.75)


def test_one_class_labels_are_left_out_of_the_macro_mean_without_warnings():
    probs, labels = example(4)
    degenerate = labels.copy()
    degenerate[:, 0], degenerate[:, 1] = 0, 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("auroc", "average_precision"):
            score = getattr(metrics, name)
            assert score(probs, degenerate) == pytest.approx(score(probs[:, 2:], labels[:, 2:]))
            assert np.isnan(score(probs, np.zeros_like(labels)))


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


GOOD = np.array([[0.2, 0.8], [0.6, 0.4]])
LABELS = np.array([[0, 1], [1, 0]])
DECISION_METRICS = ["jaccard", "hamming_loss", "exact_match", "precision", "recall", "f1"]
PROBABILITY_METRICS = ["auroc", "average_precision", "nll", "brier", "reliability", "ece", "mce"]
PROBABILITY_METRICS += ["ece_debiased", "brier_decomposition"]


@pytest.mark.parametrize("name", [*PROBABILITY_METRICS, "summarise"])
@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (GOOD[:, 0], LABELS[:, 0], r"probs has shape \(2,\), must be \(samples, labels\)"),
        (GOOD, LABELS[:1], r"probs \(2, 2\), labels \(1, 2\)"),
        (GOOD[:0], LABELS[:0], r"probs has shape \(0, 2\): empty"),
        (np.where(GOOD > 0.7, np.nan, GOOD), LABELS, r"probs \(2, 2\) holds 1 NaN"),
        (GOOD * 4 - 2, LABELS, r"probs \(2, 2\) must lie in \[0, 1\].*sigmoid"),
        (GOOD, LABELS * 2, r"labels \(2, 2\) must"),
    ],
)
def test_bad_probabilities_name_argument_shape_and_cure(name, probs, labels, message):
    with pytest.raises(ValueError, match=message):
        getattr(metrics, name)(probs, labels)


@pytest.mark.parametrize("name", DECISION_METRICS)
def test_bad_decisions_name_argument_shape_and_cure(name):
    score = getattr(metrics, name)
    with pytest.raises(ValueError, match=r"decisions \(2, 2\) must be 0 or 1.*metrics.threshold"):
        score(GOOD, LABELS)
    with pytest.raises(ValueError, match=r"labels \(2, 2\) must be 0 or 1.*labels >= 0.5"):
        score(LABELS, GOOD)
    with pytest.raises(ValueError, match=r"decisions \(2, 2\), labels \(2, 1\)"):
        score(LABELS, LABELS[:, :1])


def test_unknown_options_list_the_choices():
    with pytest.raises(ValueError, match="average='weighted'; choose one of 'micro'"):
        metrics.f1(LABELS, LABELS, "weighted")
    with pytest.raises(ValueError, match="average='micro'; choose one of 'macro', 'none'"):
        metrics.auroc(GOOD, LABELS, "micro")
    with pytest.raises(ValueError, match="empty='nan'; choose one of 'one', 'zero'"):
        metrics.jaccard(LABELS, LABELS, "nan")
