import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from lddu import UnknownLabelWarning, metrics


def example(seed=0, n=60, c=4, levels=None):
    """Informative probabilities, rounded to `levels` for ties, and labels."""
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


def test_one_class_labels_are_left_out_of_the_macro_mean():
    probs, labels = example(4)
    degenerate = labels.copy()
    degenerate[:, 0], degenerate[:, 1] = 0, 1
    for name in ("auroc", "average_precision"):
        score = getattr(metrics, name)
        with pytest.warns(UnknownLabelWarning, match=r"label columns \(0, 1: not both classes"):
            got = score(probs, degenerate)
        assert got == pytest.approx(score(probs[:, 2:], labels[:, 2:]))
        with pytest.warns(
            UnknownLabelWarning, match=r"label columns \(0, 1, 2, 3: not both classes"
        ):
            assert np.isnan(score(probs, np.zeros_like(labels)))


@pytest.mark.filterwarnings("ignore:macro means leave out")
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


def test_values_by_hand():
    # One of the two positives is above the negative, the other is tied with it.
    probs, labels = [[0.2], [0.2], [0.9]], [[0], [1], [1]]
    assert metrics.auroc(probs, labels) == pytest.approx(0.75)
    assert metrics.average_precision(probs, labels) == pytest.approx((1 + 2 / 3) / 2)


def test_unknown_options_list_the_choices():
    with pytest.raises(ValueError, match="average='micro'; choose one of 'macro', 'none'"):
        metrics.auroc([[0.5]], [[1]], "micro")
