"""JSON by type: the value, or a ValueError that names the field."""

import dataclasses
import json
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.files import parse_json, read_json


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    size: int = 3


class Pair(NamedTuple):
    low: float
    high: float = 1.0


class Outer(TypedDict):
    inner: Inner
    pairs: tuple[Pair, ...]
    kind: Literal["a", "b"] | None
    values: np.ndarray
    counts: dict[str, int]


GOOD = {
    "inner": {"name": "x"},
    "pairs": [{"low": 0.5}, {"low": 1, "high": 2}],
    "kind": "a",
    "values": [[1, 2.5]],
    "counts": {"é": 2},
}


def test_a_value_of_every_type():
    got = parse_json(json.dumps(GOOD), Outer)
    assert got["inner"] == Inner("x", 3)
    assert got["pairs"] == (Pair(0.5, 1.0), Pair(1.0, 2.0))
    assert (got["kind"], got["counts"]) == ("a", {"é": 2})
    assert got["values"].tolist() == [[1.0, 2.5]]
    assert got["values"].dtype == np.float64
    assert parse_json("[1, 1.0, true, null]", list[Any]) == [1, 1.0, True, None]
    kept = parse_json("[1, 1.0, true]", tuple[bool | int | float, ...])
    assert [type(x) for x in kept] == [int, float, bool]
    assert parse_json("Infinity", float, infinite=True) == float("inf")
    assert parse_json("3.0", int) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": None}, "inner is null, expected an object"),
        ({"inner": {}}, "inner: lacks 'name'"),
        ({"inner": {"name": "x", "more": 1}}, "inner: unknown key 'more'; known are name, size"),
        ({"inner": {"name": 1}}, "inner.name is 1, expected text"),
        ({"inner": {"name": "x", "size": True}}, "inner.size is true, expected an integer"),
        ({"inner": {"name": "x", "size": 2.5}}, "inner.size is 2.5, expected an integer"),
        ({"inner": {"name": "x", "size": 2**63}}, "inner.size is 9223.*, expected an integer"),
        ({"pairs": {}}, "pairs is {}, expected a list"),
        ({"pairs": [{"low": "1"}]}, r"pairs\[0\].low is '1', expected a number"),
        ({"pairs": [{"low": float("nan")}]}, r"pairs\[0\].low is nan, expected a finite number"),
        ({"pairs": [{"low": float("inf")}]}, r"pairs\[0\].low is inf, expected a finite number"),
        ({"pairs": [{"low": 10**400}]}, r"pairs\[0\].low is 1000.*, expected a finite number"),
        ({"kind": "c"}, "kind is 'c', expected one of 'a', 'b'"),
        ({"values": [1, [2]]}, "values has lists of different lengths"),
        ({"values": [1, True]}, r"values\[1\] is true, expected a number"),
        ({"counts": {"a b": "x"}}, "counts.'a b' is 'x', expected an integer"),
    ],
)
def test_a_value_of_another_type_is_named(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_json(json.dumps({**GOOD, **change}), Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff", "not JSON: .*utf-8"),
        ("1" * 5000, "not JSON"),
        ('{"a": 1, "a": 2}', "has the key 'a' more than once"),
        ("[" * 100_000, "values are nested too deeply"),
        ('{"a":' * 100_000, "values are nested too deeply"),
    ],
)
def test_other_text_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_json(text, Any)
    path = tmp_path / "f.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"f\.json is damaged: {message}.*Restore the file"):
        read_json(path, Any)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def outcome(text, kind):
    """The value, or the message of the ValueError."""
    try:
        return parse_json(text, kind)
    except ValueError as error:
        return str(error)


@given(JSON, st.sampled_from([None, *GOOD]))
def test_any_json_is_a_value_or_a_value_error(value, key):
    got = outcome(json.dumps(value if key is None else {**GOOD, key: value}), Outer)
    if isinstance(got, str):
        assert len(got) < 2000
    else:
        assert isinstance(got["inner"], Inner)


@given(st.binary(max_size=30))
def test_any_bytes_are_json_or_a_value_error(content):
    outcome(content, Any)
