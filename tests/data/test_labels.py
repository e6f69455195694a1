import numpy as np

from lddu.data.labels import base_rate


def test_base_rate_by_hand():
    labels = np.array([[1, 0, 0.5], [1, 0, 0.5]])
    np.testing.assert_allclose(base_rate(labels), [3 / 4, 1 / 4, 2 / 4])


def test_base_rate_lies_strictly_between_0_and_1():
    rate = base_rate(np.array([[1, 0]] * 1000))
    assert ((rate > 0) & (rate < 1)).all()
