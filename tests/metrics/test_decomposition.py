import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import brier_score_loss

from lddu import metrics
from lddu.metrics import BrierDecomposition, brier_decomposition, sharpness


def total(parts):
    return parts[0] - parts[1] + parts[2] + parts[3] - parts[4]


@st.composite
def cases(draw):
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 4)))
    unit = hnp.arrays(float, shape, elements=st.floats(0, 1))
    return draw(unit), draw(unit)


@given(
    cases(),
    st.integers(1, 12),
    st.sampled_from(["pooled", "macro"]),
    st.sampled_from(["width", "mass"]),
)
@settings(max_examples=80, deadline=None)
def test_the_parts_sum_to_the_brier_score_exactly(case, bins, average, binning):
    parts = brier_decomposition(*case, bins, average, binning)
    assert total(parts) == pytest.approx(metrics.brier(*case), abs=1e-12)
    assert all(part >= 0 for part in parts[:4])
    # The variance between bins is a share of the whole.
    assert parts.resolution <= parts.uncertainty + 1e-12
    rows = np.random.default_rng(0).permutation(len(case[0]))
    moved = brier_decomposition(case[0][rows], case[1][rows], bins, average, binning)
    assert moved == pytest.approx(parts, abs=1e-12)


def test_equals_murphy_by_hand_where_bins_hold_one_forecast():
    # Ten forecasts of 0.2, of which 3 come true, and five of 0.8, of which 4 do.
    probs = np.repeat([0.2, 0.8], [10, 5])[:, None]
    labels = np.repeat([1, 0, 1, 0], [3, 7, 4, 1])[:, None]
    parts = brier_decomposition(probs, labels, bins=10)
    rate = 7 / 15
    assert parts.reliability == pytest.approx((10 * 0.1**2 + 0) / 15)
    assert parts.resolution == pytest.approx((10 * (0.3 - rate) ** 2 + 5 * (0.8 - rate) ** 2) / 15)
    assert parts.uncertainty == pytest.approx(rate * (1 - rate))
    assert parts[3:] == pytest.approx((0, 0))
    assert total(parts) == pytest.approx(brier_score_loss(labels[:, 0], probs[:, 0]))


def test_one_bin_knows_variance_and_covariance_only():
    rng = np.random.default_rng(0)
    probs, labels = rng.random((2, 200, 1))
    parts = brier_decomposition(probs, labels, bins=1)
    covariance = np.cov(probs[:, 0], labels[:, 0], bias=True)
    assert parts == pytest.approx(
        (
            (probs.mean() - labels.mean()) ** 2,
            0,
            covariance[1, 1],
            covariance[0, 0],
            2 * covariance[0, 1],
        )
    )


def test_averages():
    rng = np.random.default_rng(1)
    probs = rng.random((300, 3)) * [0.2, 0.6, 1]
    labels = (rng.random((300, 3)) < probs).astype(int)
    each = brier_decomposition(probs, labels, average="none")
    for c in range(3):
        own = brier_decomposition(probs[:, [c]], labels[:, [c]])
        assert tuple(part[c] for part in each) == pytest.approx(tuple(own))
    macro = brier_decomposition(probs, labels, average="macro")
    assert isinstance(macro, BrierDecomposition)
    assert tuple(macro) == pytest.approx([part.mean() for part in each])
    # The base rates 0.1, 0.3 and 0.5 differ, which pooling counts as information: their variance of
    # 0.027 is more than six times its standard error.
    assert brier_decomposition(probs, labels).resolution > macro.resolution


def test_sharpness_is_the_resolution_of_calibrated_forecasts():
    probs = np.repeat([0.2, 0.6], [10, 5])[:, None]
    labels = np.repeat([1, 0, 1, 0], [2, 8, 3, 2])[:, None]  # exactly as often as said
    parts = brier_decomposition(probs, labels, bins=10)
    assert parts.reliability == pytest.approx(0)
    assert sharpness(probs) == pytest.approx(parts.resolution)
    assert metrics.brier(probs, labels) == pytest.approx(parts.uncertainty - sharpness(probs))
    two = np.hstack([probs, 1 - probs / 2])
    np.testing.assert_allclose(sharpness(two, "none"), np.var(two, axis=0))
    assert sharpness(two, "macro") == pytest.approx(np.var(two, axis=0).mean())
    assert sharpness(two) == pytest.approx(np.var(two))
    # The bound, and how far it is.
    mean = two.mean()
    assert sharpness(two) == pytest.approx(mean * (1 - mean) - np.mean(two * (1 - two)))
    assert sharpness([[0.0], [1.0]]) == 0.25


def test_bad_input():
    with pytest.raises(ValueError, match="average='micro'; choose one of 'pooled'"):
        brier_decomposition([[0.5]], [[1]], average="micro")
    with pytest.raises(ValueError, match="average='micro'; choose one of 'pooled'"):
        sharpness([[0.5]], "micro")
    with pytest.raises(ValueError, match=r"probs has shape \(2,\), must be \(samples, labels\)"):
        sharpness([0.5, 0.5])
    with pytest.raises(ValueError, match=r"probs \(1, 1\) must lie in \[0, 1\]"):
        sharpness([[2.0]])
