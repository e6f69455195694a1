import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.data import m3ed
from lddu.data.m3ed.labels import codes_of, label_codes, multi_hot

sets = st.sets(st.integers(0, 6))


def test_the_official_coding():
    assert m3ed.LABELS == ("happy", "neutral", "sad", "disgust", "anger", "fear", "surprise")


@given(
    sets,
    st.sampled_from([",", ", ", "，", ";", "、", "/"]),
    st.sampled_from([str.title, str.upper]),
)
def test_words_and_codes_say_the_same(codes, separator, spelling):
    text = separator.join(spelling(m3ed.LABELS[code]) for code in codes)
    assert codes_of(text, "f") == codes
    assert codes_of([spelling(m3ed.LABELS[code]) for code in codes], "f") == codes
    assert label_codes(sorted(codes), "f") == label_codes(text, "f") == codes
    assert set(np.flatnonzero(multi_hot(codes))) == codes


@pytest.mark.parametrize("field", [3, {"a": 1}, [1], "Joy", "Happy,Joy", True])
def test_fields_that_are_no_emotions_are_named(field):
    with pytest.raises(ValueError, match="here: "):
        codes_of(field, "here")


@pytest.mark.parametrize(
    "label",
    [7, -1, 1.0, True, None, {}, [0, 1, 0, 0, 0, 0, 0], [[1]], [1, None], np.array([0.5]), "Joy"],
)
def test_labels_that_are_no_codes_are_named(label):
    with pytest.raises(ValueError, match="here: "):
        label_codes(label, "here")


@given(st.integers(0, 6), st.sampled_from([int, np.int64, np.uint8]))
def test_codes_of_any_whole_kind_are_taken(code, kind):
    assert label_codes(kind(code), "f") == {code}
