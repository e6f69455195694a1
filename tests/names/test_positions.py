"""Positions of names in another list: a permutation, or an error with both lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.names import positions

NAMES = st.lists(
    st.one_of(st.text(max_size=3), st.integers(), st.tuples(st.integers())), max_size=8
)


@given(NAMES, st.randoms(use_true_random=False))
def test_names_in_any_order_are_found(names, random):
    reference = list(dict.fromkeys(names))
    turned = random.sample(reference, len(reference))
    where = positions("label", reference, turned, "a", "b")
    if where is None:
        assert turned == reference
    else:
        assert [turned[i] for i in where] == reference
        assert np.unique(where).size == len(reference)


@given(NAMES, NAMES)
def test_lists_that_differ_are_refused(first, second):
    if sorted(map(repr, first)) == sorted(map(repr, second)):
        return
    with pytest.raises(ValueError, match="a and b name different modalities") as caught:
        positions("modality", first, second, "a", "b")
    assert f"a has {first}, b has {second}" in str(caught.value)
