import itertools

import numpy as np
import pytest

from lddu import UnknownLabelWarning, metrics


def squared(probs, labels, **options):
    return metrics.ece_debiased(probs, labels, squared=True, **options)


def kumar(probs, labels, bins):
    """Kumar, Liang and Ma (2019), section 4: for one binary label of a binned model."""
    total = 0.0
    for k in range(bins):
        inside = (np.floor(probs * bins) == k) | ((k == bins - 1) & (probs == 1))
        if inside.any():
            n, rate = inside.sum(), labels[inside].mean()
            gap = probs[inside].mean() - rate
            total += n / len(probs) * (gap**2 - rate * (1 - rate) / (n - 1))
    return total


def test_equals_kumar_where_probabilities_of_a_bin_are_equal():
    rng = np.random.default_rng(0)
    probs = np.repeat([0.05, 0.15, 0.55, 0.95], [10, 40, 5, 25])[:, None]
    labels = (rng.random(probs.shape) < 0.8 * probs).astype(int)
    want = kumar(probs[:, 0], labels[:, 0], 10)
    assert want != 0
    assert squared(probs, labels, bins=10, binning="width") == pytest.approx(want)
    assert metrics.ece_debiased(probs, labels, bins=10, binning="width") == pytest.approx(
        np.sqrt(want)
    )


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_the_exact_expectation_over_all_labels_is_zero_if_calibrated(binning):
    # Probabilities vary within bins. Every outcome is enumerated, with its probability.
    probs = np.array([0.1, 0.2, 0.35, 0.5, 0.6, 0.85, 0.9])[:, None]
    mean = plain = 0.0
    for outcome in itertools.product([0, 1], repeat=7):
        labels = np.array(outcome)[:, None]
        chance = np.prod(np.where(labels, probs, 1 - probs))
        mean += chance * squared(probs, labels, bins=3, binning=binning)
        plain += chance * metrics.ece(probs, labels, bins=3, binning=binning)
    assert mean == pytest.approx(0, abs=1e-15)
    assert plain > 0.1


def test_the_exact_expectation_is_the_true_error_of_a_binned_model():
    probs, true = np.repeat([0.3, 0.7], 4)[:, None], np.repeat([0.5, 0.6], 4)[:, None]
    mean = 0.0
    for outcome in itertools.product([0, 1], repeat=8):
        labels = np.array(outcome)[:, None]
        mean += np.prod(np.where(labels, true, 1 - true)) * squared(probs, labels, bins=2)
    assert mean == pytest.approx((0.2**2 + 0.1**2) / 2)


def test_hard_soft_and_perfect_labels_and_averages():
    rng = np.random.default_rng(1)
    probs = np.stack([(rng.permutation(400) + 0.5) / 400 for _ in range(3)], axis=1)
    labels = (rng.random((400, 3)) < probs**2).astype(int)
    each = squared(probs, labels, average="none")
    columns = [squared(probs[:, [c]], labels[:, [c]]) for c in range(3)]
    np.testing.assert_allclose(each, columns)
    macro = metrics.ece_debiased(probs, labels, average="macro")
    assert macro == pytest.approx(np.sqrt(np.mean(each)))
    assert type(macro) is float
    np.testing.assert_allclose(
        metrics.ece_debiased(probs, labels, average="none"), np.sqrt(np.maximum(each, 0))
    )
    # E (p - p^2)^2 = 1/30 for uniform p; the standard deviation of the root is 0.013.
    assert macro == pytest.approx(np.sqrt(1 / 30), abs=0.085)
    assert metrics.ece_debiased(probs, probs) == 0
    assert metrics.ece_debiased(probs, np.clip(probs - 0.1, 0, 1)) == pytest.approx(0.1, abs=0.005)
    assert metrics.ece_debiased(np.ones((9, 1)), np.zeros((9, 1))) == 1


def test_order_does_not_matter_and_noise_can_make_the_square_negative():
    rng = np.random.default_rng(2)
    probs = np.round(rng.random((50, 2)), 1)
    labels = (rng.random((50, 2)) < probs).astype(int)
    rows = rng.permutation(50)
    assert squared(probs[rows], labels[rows]) == pytest.approx(squared(probs, labels))
    alternating = np.arange(8)[:, None] % 2
    assert squared(np.full((8, 1), 0.5), alternating) == pytest.approx(-0.25 / 7)
    assert metrics.ece_debiased(np.full((8, 1), 0.5), alternating) == 0


def test_bins_of_one_entry_are_left_out():
    probs = np.array([[0.1], [0.12], [0.9]])
    labels = np.array([[0], [1], [0]])
    two = squared(probs[:2], labels[:2], bins=2, binning="width")
    assert squared(probs, labels, bins=2, binning="width") == pytest.approx(two)
    assert np.isnan(metrics.ece_debiased(probs, labels, bins=5))
    both = np.hstack([probs, [[0.1], [0.5], [0.9]]]), np.hstack([labels, labels])
    each = squared(*both, bins=3, binning="width", average="none")
    np.testing.assert_array_equal(np.isnan(each), [False, True])
    with pytest.warns(
        UnknownLabelWarning, match=r"label columns \(1: no bin has two rows or groups"
    ):
        assert squared(*both, bins=3, binning="width", average="macro") == each[0]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_exact_expectation_is_zero_for_dependent_labels(grouped):
    # Two labels per row that always agree, or two rows of a group, enumerated with their chances.
    pairs = np.array([0.1, 0.4, 0.7])
    probs = np.repeat(pairs, 2)[:, None] if grouped else np.stack([pairs, pairs], axis=1)
    groups = np.repeat(["c", "a", "b"], 2) if grouped else None
    mean = naive = 0.0
    for outcome in itertools.product([0, 1], repeat=3):
        chance = np.prod(np.where(outcome, pairs, 1 - pairs))
        labels = np.repeat(outcome, 2).reshape(probs.shape)
        mean += chance * squared(probs, labels, bins=1, groups=groups)
        naive += chance * squared(probs.reshape(-1, 1), labels.reshape(-1, 1), bins=1)
    assert mean == pytest.approx(0, abs=1e-15)
    assert naive > 0.03


def test_groups_of_one_row_are_no_groups():
    rng = np.random.default_rng(3)
    probs, labels = rng.random((30, 2)), rng.integers(0, 2, (30, 2))
    rows = rng.permutation(30)
    assert squared(probs, labels, groups=rows) == pytest.approx(squared(probs, labels))
    assert np.isnan(squared(probs, labels, groups=np.zeros(30)))


def test_bad_options():
    with pytest.raises(ValueError, match="average='micro'; choose one of 'pooled'"):
        metrics.ece_debiased([[0.5]], [[1]], average="micro")
