"""Labels as lists of codes, and intensities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.data.card import Findings
from lddu.data.mosei import LABELS, labels


@given(rows=st.lists(st.sets(st.integers(0, 5)), min_size=1, max_size=8), data=st.data())
def test_codes_in_any_order_and_container(rows, data):
    coded = [[2, *data.draw(st.permutations([4 + k for k in row])), 3] for row in rows]
    expected = [[k in row for k in range(len(LABELS))] for row in rows]
    for values in (
        coded,
        tuple(coded),
        [np.array(row) for row in coded],
        [tuple(r) for r in coded],
    ):
        assert labels.from_codes(values, "here", Findings()).tolist() == expected
    padded = np.zeros((len(coded), 9), int)
    for row, codes in zip(padded, coded, strict=True):
        row[: len(codes)] = codes
    assert labels.from_codes(padded, "here", Findings()).tolist() == expected


def test_a_label_named_twice_is_counted():
    findings = Findings()
    assert labels.from_codes([[2, 4, 4, 3]], "here", findings).sum() == 1
    assert findings.repairs == {"here: labels named twice in a row, taken once": 1}


@pytest.mark.parametrize(
    "row",
    [
        *([], [2], [3], [2, 4], [4, 3], [1, 4, 3], [2, 10, 3], [2, 3, 3], [2, 3, 4], [2, 4.5, 3]),
        *([2, -4, 3], [2, 2, 3], [2, 0, 3], None, 3, "23", [2, "4", 3], [[2, 3]], [2, None, 3]),
        *([2, float("nan"), 3], [2, [4], 3], {2: 3}, [2, 10**30, 3]),
    ],
)
def test_other_rows_are_an_error_that_names_them(row):
    with pytest.raises(ValueError, match="here, row 1"):
        labels.from_codes([[2, 4, 3], row], "here", Findings())


@pytest.mark.parametrize("targets", [None, 3, "text", {0: [2, 3]}, np.zeros((2, 2, 2))])
def test_what_is_no_list_is_an_error(targets):
    with pytest.raises(ValueError, match="here"):
        labels.from_codes(targets, "here", Findings())


def test_soft_and_hard_labels():
    values = np.array([[0, 1 / 3, 2 / 3, 1, 2, 3]])
    assert labels.hard(values).tolist() == [[0, 1, 1, 1, 1, 1]]
    np.testing.assert_allclose(labels.soft(values), [[0, 1 / 9, 2 / 9, 1 / 3, 2 / 3, 1]], 1e-6)
