"""Ids in every form that the files have them."""

import numpy as np
import pytest

from lddu.data.mosei.readers import ids


@pytest.mark.parametrize(
    "values",
    [
        ["-a$_b$_$12", "c$_$0"],
        np.array(["-a$_b$_$12", "c$_$0"]),
        np.array([b"-a$_b$_$12", b"c$_$0"]),
        np.array([["-a$_b$_$12"], ["c$_$0"]], object),
        (["-a$_b$_$12"], np.array(["c$_$0"])),
        [[[b"-a$_b$_$12"]], "c$_$0"],
    ],
)
def test_clips(values):
    found = ids.parse(values, "here")
    assert found == ids.Ids(["-a$_b$_$12", "c$_$0"], "clip", ["-a$_b", "c"], ["12", "0"])


def test_segments():
    found = ids.parse([["a[b][12]"], "c[0]"], "here")
    assert found == ids.Ids(["a[b][12]", "c[0]"], "segment", ["a[b]", "c"], [12, 0])


def test_intervals():
    found = ids.parse(np.array([["v", "1.5", "2"], ["12345", "0", "1"]], "S"), "here")
    assert found == ids.Ids(["v 1.5", "12345 0"], "interval", ["v", "12345"], [1.5, 0.0])
    assert ids.parse([["v", 1.5, 2]], "here").places == [1.5]


def test_others_are_names_only():
    assert ids.parse(["x", "y"], "here").kind == "other"
    assert ids.parse([], "here").names == []


@pytest.mark.parametrize(
    "values",
    [
        *(None, 3, "text", {"a": 1}, [None], [3], [""], [[]], [b"\xff"], [["v", "x", "y"]]),
        *([["v", None, 1]], ["a$_$1", "b[1]"], ["a", ["v", 1, 2]], np.zeros((2, 3)), np.array(3)),
    ],
)
def test_what_is_no_id_is_an_error_that_says_where(values):
    with pytest.raises(ValueError, match="here"):
        ids.parse(values, "here")
