import numpy as np

from lddu.data.labels import base_rate


def test_base_rate_by_hand():
    labels = np.array([[0, 1, 0.5], [0, 1, 0.5]])
    np.testing.assert_allclose(base_rate(labels), [1 / 4, 3 / 4, 2 / 4])


def test_a_label_that_never_or_always_occurs_has_a_finite_logit():
    for value in (0, 1):
        (rate,) = base_rate(np.full((10**6, 1), value, np.float32))
        assert 0 < rate < 1
        assert np.isfinite(np.log(rate) - np.log1p(-rate))
