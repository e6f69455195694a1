import warnings

import numpy as np
import pytest

from lddu import UnknownLabelWarning
from lddu.data.labels import base_rate, check_known

LABELS = np.array([[1, np.nan, np.nan], [0.5, 1, np.nan], [np.nan, 1, np.nan]])


def test_base_rate_by_hand():
    labels = np.array([[0, 1, 0.5], [0, 1, 0.5]])
    np.testing.assert_allclose(base_rate(labels), [1 / 4, 3 / 4, 2 / 4])


def test_a_label_that_never_or_always_occurs_has_a_finite_logit():
    for value in (0, 1):
        (rate,) = base_rate(np.full((10**6, 1), value, np.float32))
        assert 0 < rate < 1
        assert np.isfinite(np.log(rate) - np.log1p(-rate))


def test_unknown_labels_do_not_count():
    np.testing.assert_allclose(base_rate(LABELS), [2.5 / 4, 3 / 4, 1 / 2])


def test_weights_are_copies():
    weights = np.array([2, 0, 3])
    np.testing.assert_allclose(
        base_rate(LABELS, weights), base_rate(np.repeat(LABELS, weights, axis=0))
    )
    np.testing.assert_allclose(base_rate(LABELS, [0.5, 0.25, 1]), [1.625 / 2.75, 2.25 / 3.25, 0.5])


def test_labels_that_no_row_knows_are_named_once():
    with pytest.warns(
        UnknownLabelWarning, match=r"the labels \['c'\].* base rate is set to 0.5"
    ) as caught:
        check_known(LABELS, "abc")
    assert len(caught) == 1
    with pytest.warns(UnknownLabelWarning, match=r"\['b', 'c'\]"):
        check_known(LABELS, "abc", [1, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_known(LABELS[:, :2], "ab")


@pytest.mark.parametrize("weights", [None, [0.0, 0.0, 1.0]])
def test_some_label_must_be_known(weights):
    labels = LABELS[:, 2:] if weights is None else LABELS[:, :1]
    with pytest.raises(ValueError, match="is known in any training row of positive weight"):
        check_known(labels, ["x"], weights)
