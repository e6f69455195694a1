import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from lddu import metrics


@st.composite
def cases(draw):
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    unit = hnp.arrays(float, shape, elements=st.floats(0, 1))
    return draw(unit), draw(unit)


def example(n=200, c=3, seed=0):
    rng = np.random.default_rng(seed)
    probs = rng.random((n, c))
    return probs, (rng.random((n, c)) < probs).astype(int)


def loop_ece(probs, labels, bins):
    """The definition, one bin at a time."""
    edges, error = np.linspace(0, 1, bins + 1), 0.0
    for k in range(bins):
        inside = (probs >= edges[k]) & (
            (probs < edges[k + 1]) if k < bins - 1 else (probs <= edges[k + 1])
        )
        if inside.any():
            error += inside.mean() * abs(labels[inside].mean() - probs[inside].mean())
    return error


def test_proper_scores_equal_scikit_learn():
    probs, labels = example()
    assert metrics.nll(probs, labels) == pytest.approx(sk.log_loss(labels.ravel(), probs.ravel()))
    assert metrics.brier(probs, labels) == pytest.approx(
        sk.brier_score_loss(labels.ravel(), probs.ravel())
    )


def test_nll_is_clipped_and_takes_soft_labels():
    assert metrics.nll([[0.0, 1.0]], [[1, 0]]) == pytest.approx(-np.log(1e-7), rel=1e-6)
    assert metrics.nll([[0.0, 1.0]], [[0, 1]]) == pytest.approx(1e-7, rel=1e-6)
    soft = metrics.nll([[0.3]], [[0.25]])
    assert soft == pytest.approx(-0.25 * np.log(0.3) - 0.75 * np.log(0.7))
    assert metrics.brier([[0.3]], [[0.25]]) == pytest.approx(0.0025)
    # Two annotators who disagree are one soft label.
    votes = metrics.nll([[0.3], [0.3]], [[1], [0]])
    assert metrics.nll([[0.3]], [[0.5]]) == pytest.approx(votes)


def test_reliability_by_hand_with_borders_and_empty_bins():
    probs = np.array([[0.0, 0.25], [0.5, 1.0], [0.75, 0.9]])
    labels = np.array([[0, 1], [1, 1], [0, 1]])
    diagram = metrics.reliability(probs, labels, bins=4)
    np.testing.assert_allclose(diagram.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(diagram.counts, [1, 1, 1, 3])
    np.testing.assert_allclose(diagram.mean_prob, [0, 0.25, 0.5, 2.65 / 3])
    np.testing.assert_allclose(diagram.observed, [0, 1, 1, 2 / 3])
    each = metrics.reliability(probs, labels, bins=4, per_label=True)
    np.testing.assert_array_equal(each.counts, [[1, 0, 1, 1], [0, 1, 0, 2]])
    np.testing.assert_allclose(
        each.mean_prob, [[0, np.nan, 0.5, 0.75], [np.nan, 0.25, np.nan, 0.95]]
    )
    np.testing.assert_allclose(each.observed, [[0, np.nan, 1, 0], [np.nan, 1, np.nan, 1]])


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_ece_equals_its_definition(bins):
    probs, labels = example(seed=1)
    probs[:50] = np.round(probs[:50], 1)  # many on the borders of the bins
    each = [loop_ece(probs[:, c], labels[:, c], bins) for c in range(3)]
    assert metrics.ece(probs, labels, bins) == pytest.approx(
        loop_ece(probs.ravel(), labels.ravel(), bins)
    )
    np.testing.assert_allclose(metrics.ece(probs, labels, bins, "none"), each)
    assert metrics.ece(probs, labels, bins, "macro") == pytest.approx(np.mean(each))


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_diagram_equals_scikit_learn(binning, strategy):
    probs, labels = example(n=150, seed=2)
    probs = probs**2
    diagram = metrics.reliability(probs, labels, 10, per_label=True, binning=binning)
    for c in range(3):
        observed, mean_prob = calibration_curve(
            labels[:, c], probs[:, c], n_bins=10, strategy=strategy
        )
        np.testing.assert_allclose(diagram.observed[c], observed)
        np.testing.assert_allclose(diagram.mean_prob[c], mean_prob)
    assert diagram.edges.shape == ((11,) if binning == "width" else (3, 11))


def test_adaptive_ece_is_the_mean_gap_of_sorted_blocks():
    probs, labels = example(n=120, seed=3)
    for average, columns in (("pooled", [slice(None)]), ("none", [0, 1, 2])):
        want = []
        for c in columns:
            p, y = probs[:, c].ravel(), labels[:, c].ravel()
            order = np.argsort(p).reshape(8, -1)
            want.append(np.mean(np.abs(p[order].mean(1) - y[order].mean(1))))
        got = metrics.ece(probs, labels, 8, average, "mass")
        np.testing.assert_allclose(got, want[0] if average == "pooled" else want)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_equal_mass_is_equal_width_on_a_uniform_grid(bins, each, seed):
    rng = np.random.default_rng(seed)
    n = bins * each
    probs = ((np.arange(n) + 0.5) / n)[rng.permutation(n), None]
    labels = rng.integers(0, 2, (n, 1))
    for score in (metrics.ece, metrics.mce):
        wide = score(probs, labels, bins)
        assert score(probs, labels, bins, binning="mass") == pytest.approx(wide)


def test_mce_is_the_largest_gap():
    probs = np.array([[0.1, 0.6], [0.1, 0.6], [0.9, 0.6]])
    labels = np.array([[0, 1], [0, 1], [0, 1]])
    np.testing.assert_allclose(metrics.mce(probs, labels, 5, "none"), [0.9, 0.4])
    assert metrics.mce(probs, labels, 5, "macro") == pytest.approx(0.65)
    assert metrics.mce(probs, labels, 5) == pytest.approx(0.9)
    assert metrics.mce(probs, labels, 1) == metrics.ece(probs, labels, 1)


def test_pooling_lets_labels_cancel_and_macro_does_not():
    probs = np.full((4, 2), 0.5)
    labels = np.tile([1, 0], (4, 1))
    assert metrics.ece(probs, labels) == 0
    assert metrics.ece(probs, labels, average="macro") == 0.5


@given(cases(), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_bounds_order_and_perfection(case, bins, seed):
    probs, labels = case
    rows = np.random.default_rng(seed).permutation(len(probs))

    def adaptive(probs, labels):
        return metrics.ece(probs, labels, bins, binning="mass")

    for score in (metrics.nll, metrics.brier, metrics.ece, metrics.mce, adaptive):
        value = score(probs, labels)
        assert score(probs[rows], labels[rows]) == pytest.approx(value)
        assert 0 <= value <= (1 if score is not metrics.nll else 16.2)
    assert metrics.ece(probs, labels, bins) <= metrics.mce(probs, labels, bins) + 1e-12
    hard = np.round(labels)
    for average in ("pooled", "macro"):
        assert metrics.ece(labels, labels, bins, average) == pytest.approx(0, abs=1e-12)
        assert metrics.ece(1 - hard, hard, bins, average) == 1 or bins == 1
    assert metrics.reliability(probs, labels, bins).counts.sum() == probs.size
    assert metrics.brier(hard, hard) == 0
    assert metrics.nll(labels, labels) <= metrics.nll(probs, labels) + 1e-6  # a proper score


def test_bad_options():
    probs, labels = example(5)
    with pytest.raises(ValueError, match="bins=0 must be at least 1"):
        metrics.reliability(probs, labels, bins=0)
    with pytest.raises(ValueError, match="average='micro'; choose one of 'pooled'"):
        metrics.ece(probs, labels, average="micro")
    with pytest.raises(ValueError, match=r"labels \(5, 3\) must lie in \[0, 1\]"):
        metrics.nll(probs, labels * 3)
