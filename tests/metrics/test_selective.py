import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu import metrics

entries = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.1, 0.2, 0.3])),
    min_size=1,
    max_size=6,
)


def test_curve_by_hand():
    coverage, risk = metrics.risk_coverage([1, 0, 0, 1], [0.9, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])
    assert metrics.aurc([1, 0, 0, 1], [0.9, 0.1, 0.2, 0.3]) == pytest.approx(5 / 24)


@given(entries)
@settings(max_examples=40, deadline=None)
def test_ties_are_the_mean_over_all_orders(pairs):
    risk, uncertainty = np.array(pairs).T
    curves = []
    for order in itertools.permutations(range(len(risk))):
        order = np.array(order)
        order = order[np.argsort(uncertainty[order], kind="stable")]
        curves.append(np.cumsum(risk[order]) / np.arange(1, len(risk) + 1))
    _, got = metrics.risk_coverage(risk, uncertainty)
    np.testing.assert_allclose(got, np.mean(curves, 0), atol=1e-12)
    assert metrics.aurc(risk[::-1], uncertainty[::-1]) == pytest.approx(np.mean(curves))


def test_constant_uncertainty_has_the_mean_risk_and_the_true_order_is_best():
    rng = np.random.default_rng(0)
    risk = (rng.random(200) < 0.3).astype(float)
    assert metrics.aurc(risk, np.ones(200)) == pytest.approx(risk.mean())
    best, worst = metrics.aurc(risk, risk), metrics.aurc(risk, -risk)
    assert best < metrics.aurc(risk, rng.random(200)) < worst
    # Only the order of the uncertainty counts.
    u = rng.random(200)
    assert metrics.aurc(risk, u) == metrics.aurc(risk, np.exp(5 * u))


@given(entries)
@settings(max_examples=40, deadline=None)
def test_excess_is_above_the_best_of_all_orders(pairs):
    risk, uncertainty = np.array(pairs).T
    kept = np.arange(1, len(risk) + 1)
    best = min(
        np.mean(np.cumsum(order) / kept) for order in itertools.permutations(risk, len(risk))
    )
    got = metrics.excess_aurc(risk, uncertainty)
    assert got == pytest.approx(metrics.aurc(risk, uncertainty) - best, abs=1e-12)
    assert got >= 0
    assert metrics.excess_aurc(risk, risk) == 0


def test_the_best_area_of_hard_errors_has_the_published_approximation():
    # Geifman et al. (2019): r + (1 - r) log(1 - r) for large N, at the error rate r.
    risk = np.arange(20_000) < 6_000
    uncertainty = np.random.default_rng(0).random(20_000)
    best = 0.3 + 0.7 * np.log(0.7)
    got = metrics.excess_aurc(risk, uncertainty)
    assert got == pytest.approx(metrics.aurc(risk, uncertainty) - best, abs=1e-4)


def test_risk_at_coverage_keeps_at_least_that_share():
    risk = np.arange(10.0)
    uncertainty = np.arange(10) / 10
    for coverage, kept in ((0.01, 1), (0.1, 1), (0.3, 3), (3 * 0.1, 3), (0.31, 4), (1, 10)):
        got = metrics.risk_at_coverage(risk, uncertainty, coverage)
        assert type(got) is float
        assert got == pytest.approx(risk[:kept].mean())
    grid = np.linspace(0.1, 1, 10)
    np.testing.assert_allclose(
        metrics.risk_at_coverage(risk, uncertainty, grid),
        metrics.risk_coverage(risk, uncertainty)[1],
    )
    for coverage in (0, 1.1, [0.5, np.nan], -0.1):
        with pytest.raises(ValueError, match=r"coverage"):
            metrics.risk_at_coverage(risk, uncertainty, coverage)


@pytest.mark.parametrize("n", [7, 100, 997])
def test_every_share_finds_its_own_place(n):
    risk = np.random.default_rng(n).random(n)
    for shares in (np.arange(1, n + 1) / n, np.arange(1, n + 1) * (1 / n)):
        got = metrics.risk_at_coverage(risk, risk, np.minimum(shares, 1))
        np.testing.assert_array_equal(got, metrics.risk_coverage(risk, risk)[1])


def test_per_label_scores_columns_and_per_sample_rows():
    rng = np.random.default_rng(0)
    labels, decisions = rng.integers(0, 2, (2, 30, 3))
    wrong, uncertainty = labels != decisions, rng.random((30, 3))
    got = metrics.per_label(metrics.aurc, wrong, uncertainty)
    np.testing.assert_array_equal(
        got, [metrics.aurc(wrong[:, c], uncertainty[:, c]) for c in range(3)]
    )
    for reduce in ("mean", "max"):
        risk, reduced = metrics.per_sample(wrong, uncertainty, reduce)
        losses = [metrics.hamming_loss(decisions[[i]], labels[[i]]) for i in range(30)]
        np.testing.assert_allclose(risk, losses)
        np.testing.assert_allclose(reduced, getattr(np, reduce)(uncertainty, axis=1))
        area = metrics.aurc(risk, reduced)
        assert area == metrics.aurc(*metrics.per_sample(wrong, uncertainty, reduce))


def test_bad_shapes_of_labels_and_samples():
    with pytest.raises(ValueError, match="no arrays given"):
        metrics.per_label(metrics.aurc)
    with pytest.raises(ValueError, match=r"array 0 \(2, 2\), array 1 \(2, 1\)"):
        metrics.per_label(metrics.aurc, np.zeros((2, 2)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"risk \(2, 2\), uncertainty \(2, 1\)"):
        metrics.per_sample(np.zeros((2, 2)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"uncertainty \(1, 1\) holds 1 NaN"):
        metrics.per_sample([[1]], [[np.nan]])
    with pytest.raises(ValueError, match="reduce='sum'; choose one of 'mean', 'max'"):
        metrics.per_sample([[1]], [[1]], "sum")


def test_bad_input():
    with pytest.raises(ValueError, match=r"risk has shape \(2, 1\), must be \(entries,\).*ravel"):
        metrics.risk_coverage([[0], [1]], [[0], [1]])
    with pytest.raises(ValueError, match=r"risk \(2,\), uncertainty \(3,\)"):
        metrics.aurc([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"uncertainty \(2,\) holds 1 NaN"):
        metrics.aurc([0, 1], [1, np.nan])
    with pytest.raises(ValueError, match=r"risk has shape .*empty"):
        metrics.aurc([], [])
