import numpy as np
import pytest

from lddu.sklearn.targets import read_target

X = np.zeros((4, 1))


class Frame:
    """What is used of a data frame."""

    def __init__(self, values, columns):
        self.values, self.columns, self.shape = values, columns, values.shape

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_unknown_labels_stay_unknown():
    y = np.array([[0, 1], [np.nan, 1], [1, np.nan], [0, 0]])
    target, rows = read_target(X, y)
    np.testing.assert_array_equal(target.labels, y)
    assert (target.binary, target.names, rows.tolist()) == (
        False,
        ("label0", "label1"),
        [0, 1, 2, 3],
    )


def test_columns_name_the_labels():
    target, _ = read_target(X, Frame(np.eye(4)[:, :2], ["joy", "anger"]))
    assert target.names == ("joy", "anger")


def test_rows_of_weight_zero_are_left_out():
    target, rows = read_target(X, ["a", "b", "a", "b"], [0, 1, 2, 0.5], groups=list("pqrs"))
    assert rows.tolist() == [1, 2, 3]
    assert target.labels.tolist() == [[1], [0], [1]]
    assert target.groups.tolist() == ["q", "r", "s"]
    assert target.weight.tolist() == [1, 2, 0.5]


@pytest.mark.parametrize(
    ("y", "options", "match"),
    [
        (None, {}, "requires y"),
        ([0, 1, 2, 1], {}, "Only binary classification is supported"),
        ([1, 1, 1, 1], {}, "1 class"),
        ([0, 1, 1, 1], {"sample_weight": [0, 1, 1, 1]}, "1 class"),
        (np.full((4, 2), 0.5), {}, "with the value 0.5"),
        (np.full((4, 2), "a"), {}, "Unknown label type"),
        ([0, 1, 0], {}, "inconsistent numbers"),
        ([0, 1, 0, 1], {"sample_weight": np.zeros(4)}, "not all of them zero"),
        ([0, 1, 0, 1], {"sample_weight": [1, -1, 1, 1]}, r"ranges over \[-1, 1\]"),
        ([0, 1, 0, 1], {"sample_weight": [1, 1]}, "one weight per row"),
        ([0, 1, 0, 1], {"groups": [1, 2]}, "one group per row"),
    ],
)
def test_wrong_targets_are_named(y, options, match):
    with pytest.raises(ValueError, match=match):
        read_target(X, y, **options)
