from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.data import cleaning
from lddu.data.card import Findings
from lddu.data.cleaning import clean


def naive(rows, longest, lengths=None, padded="end", steps=None):
    """One row at a time: (values (N, T, D), lengths (N,))."""
    steps = longest if steps is None else min(steps, longest)
    sequences = []
    for i, row in enumerate(rows):
        row = np.where(np.isfinite(row), row, 0.0).astype(np.float32)
        if lengths is not None:
            # A sequence of zeros only is missing, whatever is declared.
            keep = min(lengths[i], len(row)) if row.any() else 0
            row = row[len(row) - keep :] if padded == "start" else row[:keep]
        elif padded == "start":
            while len(row) and not row[0].any():
                row = row[1:]
        else:
            while len(row) and not row[-1].any():
                row = row[:-1]
        sequences.append(row[:steps])
    values = np.zeros((len(rows), steps, rows[0].shape[1]), np.float32)
    for i, row in enumerate(sequences):
        values[i, : len(row)] = row
    return values, np.array([len(row) for row in sequences])


@st.composite
def features(draw):
    """Rows of (T_i, D) with zeros, NaN and infinities, as one array or as a list."""
    count, width = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    ragged = draw(st.booleans())
    longest = draw(st.integers(1, 5))
    lengths = [draw(st.integers(0, 5)) if ragged else longest for _ in range(count)]
    values = st.sampled_from([0.0, 0.0, 0.0, 1.5, -2.0, np.nan, np.inf, -np.inf])
    rows = [
        np.array([[draw(values) for _ in range(width)] for _ in range(n)]).reshape(n, width)
        for n in lengths
    ]
    return rows if ragged else np.stack(rows)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rows=features(), padded=st.sampled_from(get_args(cleaning.Side)))
def test_equals_a_version_that_takes_one_row_at_a_time(data, rows, padded):
    count = len(rows)
    lengths = data.draw(st.none() | st.lists(st.integers(0, 7), min_size=count, max_size=count))
    chosen = data.draw(st.none() | st.lists(st.integers(0, count - 1), min_size=1, max_size=9))
    steps = data.draw(st.none() | st.integers(1, 6))
    chunk = data.draw(st.integers(1, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "_CHUNK", chunk)
        found = clean(
            rows,
            "f",
            Findings(),
            lengths=None if lengths is None else np.array(lengths),
            padded=padded,
            rows=None if chosen is None else np.array(chosen),
            steps=steps,
        )
    order = range(count) if chosen is None else chosen
    values, true = naive(
        [rows[i] for i in order],
        max(1, max(len(row) for row in rows)),
        None if lengths is None else [lengths[i] for i in order],
        padded,
        steps,
    )
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.mask.sum(1), true)
    assert (np.sort(~found.mask, axis=1) == ~found.mask).all(), "real steps come first"


@settings(max_examples=50, deadline=None)
@given(rows=features(), chunks=st.tuples(st.integers(1, 4), st.integers(1, 300)))
def test_chunk_borders_change_neither_values_nor_counts(rows, chunks):
    results = []
    for chunk in chunks:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cleaning, "_CHUNK", chunk)
            findings = Findings()
            modality = clean(rows, "f", findings, steps=3)
            results.append((modality, findings.repairs))
    (first, counts), (second, others) = results
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert counts == others


def test_counts_what_it_repairs():
    values = np.ones((3, 4, 2))
    values[0, 0] = [-np.inf, np.inf]
    values[1, 2, 0] = np.nan
    findings = Findings()
    found = clean(values, "f.pkl, audio", findings, lengths=np.array([9, 2, 4]), steps=3)
    assert findings.repairs == {
        "f.pkl, audio: -inf set to 0": 1,
        "f.pkl, audio: +inf set to 0": 1,
        "f.pkl, audio: NaN set to 0": 1,
        "f.pkl, audio: declared lengths beyond the array, cut to it": 1,
        "f.pkl, audio: sequences with values behind their length, cut": 1,
        "f.pkl, audio: sequences longer than 3, cut": 2,
    }
    np.testing.assert_array_equal(found.mask.sum(1), [3, 2, 3])


def test_zeros_between_others_are_real_and_declared_zeros_too():
    values = np.zeros((2, 4, 1))
    values[:, [0, 2]] = 1
    np.testing.assert_array_equal(clean(values, "f", Findings()).mask.sum(1), [3, 3])
    kept = clean(values, "f", Findings(), lengths=np.array([4, 0]))
    np.testing.assert_array_equal(kept.mask.sum(1), [4, 0])
    assert not kept.values[1].any()


def test_numbers_too_large_for_float32_count_as_infinite_without_a_warning(recwarn):
    findings = Findings()
    found = clean(np.full((1, 1, 1), 1e300), "f", findings)
    assert findings.repairs == {"f: +inf set to 0": 1}
    assert not found.mask.any()
    assert not recwarn.list


def test_the_source_stays_as_it_is():
    values = np.array([[[np.nan, 1.0]]], np.float32)
    clean(values, "f", Findings())
    assert np.isnan(values[0, 0, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, bool, ">f4"])
def test_takes_any_numbers(dtype):
    values = np.array([[[1, 0], [0, 1]]]).astype(dtype)
    found = clean(values, "f", Findings())
    np.testing.assert_array_equal(found.values, values.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((2, 3)), {}, r"f: shape \(2, 3\)"),
        (np.zeros((0, 3, 1)), {}, r"f: shape \(0, 3, 1\)"),
        (np.zeros((2, 3, 1), complex), {}, "f: values of type complex128"),
        (np.zeros((2, 3, 1), "U1"), {}, "f: values of type <U1"),
        ([], {}, "f: no samples"),
        (None, {}, "f: a NoneType"),
        ({0: np.ones((1, 1))}, {}, "f: a dict"),
        (np.array(3, object), {}, r"f: shape \(\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], {}, r"f: row 1 has shape \(2, 4\)"),
        ([np.zeros((2, 3)), np.zeros(3)], {}, r"f: row 1 has shape \(3,\)"),
        ([[[1, 2], [3]]], {}, "f: row 0"),
        ([np.zeros((2, 3), object)], {}, "f, row 0: values of type object"),
        ([[["a", "b"]]], {}, "f, row 0: values of type <U1"),
        (np.ones((2, 3, 1)), {"lengths": np.array([1])}, r"f: lengths are int64 \(1,\)"),
        (
            np.ones((1, 3, 1)),
            {"lengths": np.array([-1])},
            "f: lengths must be non-negative integers",
        ),
        (
            np.ones((1, 3, 1)),
            {"lengths": np.array([1.5])},
            "f: lengths must be non-negative integers",
        ),
        (
            np.ones((1, 3, 1)),
            {"lengths": np.array([np.nan])},
            "f: lengths must be non-negative integers",
        ),
        (np.ones((1, 3, 1)), {"lengths": np.array(["1"])}, "f: lengths are <U1"),
        (np.ones((1, 3, 1)), {"padded": "front"}, "padded='front'"),
        (np.ones((1, 3, 1)), {"steps": 0}, "steps=0"),
    ],
)
def test_what_cannot_be_read_is_named(values, options, message):
    with pytest.raises(ValueError, match=message):
        clean(values, "f", Findings(), **options)


def test_a_huge_declared_length_is_cut():
    found = clean(np.ones((1, 3, 1)), "f", Findings(), lengths=np.array([1e300]))
    np.testing.assert_array_equal(found.mask.sum(1), [3])


def test_no_rows_wanted_gives_an_empty_modality():
    found = clean(np.ones((2, 3, 1)), "f", Findings(), rows=np.array([], int))
    assert found.values.shape == (0, 3, 1)
    assert found.mask.shape == (0, 3)
