import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from lddu import metrics
from lddu.metrics import ErrorDetection, error_detection

entries = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([-3.0, 0.0, 1e-9, 2.0, 1e12])),
    min_size=1,
    max_size=15,
)


@given(entries)
@settings(max_examples=80, deadline=None)
def test_equals_scikit_learn_and_is_nan_for_one_class(pairs):
    wrong, uncertainty = map(np.array, zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = error_detection(wrong, uncertainty)
    if wrong.min() == wrong.max():
        assert np.isnan(got).all()
    else:
        assert got.auroc == pytest.approx(roc_auc_score(wrong, uncertainty))
        assert got.average_precision == pytest.approx(average_precision_score(wrong, uncertainty))
    np.testing.assert_allclose(error_detection(wrong[::-1], uncertainty[::-1]), got)


def test_only_the_order_of_the_uncertainty_counts():
    rng = np.random.default_rng(0)
    uncertainty = rng.permutation(200) / 50
    wrong = rng.permutation(200) < 40
    got = error_detection(wrong, uncertainty)
    assert got == error_detection(wrong, np.exp(uncertainty))
    assert error_detection(wrong, -uncertainty).auroc == pytest.approx(1 - got.auroc)
    assert error_detection(wrong, np.ones(200)) == pytest.approx((0.5, wrong.mean()))


def test_per_label_equals_scikit_learn_on_each_column():
    rng = np.random.default_rng(0)
    wrong, uncertainty = rng.random((60, 3)) < [0.2, 0.5, 0], rng.random((60, 3))
    got = metrics.per_label(error_detection, wrong, uncertainty)
    assert isinstance(got, ErrorDetection)
    assert got.auroc.shape == (3,)
    want = [roc_auc_score(wrong[:, c], uncertainty[:, c]) for c in range(2)]
    np.testing.assert_allclose(got.auroc, [*want, np.nan])
    pooled = error_detection(wrong.ravel(), uncertainty.ravel())
    assert pooled.auroc == pytest.approx(roc_auc_score(wrong.ravel(), uncertainty.ravel()))


def test_bad_input():
    with pytest.raises(ValueError, match=r"wrong \(2,\), uncertainty \(3,\)"):
        error_detection([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"wrong \(2,\) must lie in \[0, 1\]"):
        error_detection([0, 1.5], [1, 2])
    with pytest.raises(ValueError, match=r"uncertainty \(2,\) holds 1 NaN"):
        error_detection([0, 1], [1, np.inf])
    with pytest.raises(ValueError, match=r"wrong has shape \(1, 2\).*ravel"):
        error_detection([[0, 1]], [[1, 2]])
