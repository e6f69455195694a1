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


def test_bad_input():
    with pytest.raises(ValueError, match=r"risk has shape \(2, 1\), must be \(entries,\).*ravel"):
        metrics.risk_coverage([[0], [1]], [[0], [1]])
    with pytest.raises(ValueError, match=r"risk \(2,\), uncertainty \(3,\)"):
        metrics.aurc([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"uncertainty \(2,\) holds 1 NaN"):
        metrics.aurc([0, 1], [1, np.nan])
    with pytest.raises(ValueError, match=r"risk has shape .*empty"):
        metrics.aurc([], [])
