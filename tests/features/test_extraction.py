import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lddu.data import from_sequences
from lddu.features.extraction import extract, shorten


@pytest.fixture
def files(tmp_path):
    """Three files whose bytes are the features, one step a byte."""
    paths = []
    for i, content in enumerate((b"abcde", b"xy", b"")):
        paths.append(tmp_path / f"{i}.bin")
        paths[-1].write_bytes(content)
    return paths


def letters(path):
    codes = np.frombuffer(path.read_bytes(), np.uint8)
    return np.stack([codes, codes * 0 + len(codes)], axis=1)


def test_arrays_come_in_the_order_of_the_files_and_make_a_batch(files):
    found = extract([files[1], None, files[0], files[2]], letters, progress=False)
    assert found[1] is None
    np.testing.assert_array_equal(found[0], [[ord("x"), 2], [ord("y"), 2]])
    assert all(a is None or a.dtype == np.float32 for a in found)
    batch = from_sequences({"audio": found})
    np.testing.assert_array_equal(batch.present["audio"], [True, False, True, False])


def test_the_cache_spares_the_extractor(files, tmp_path):
    calls = []

    def counted(path):
        calls.append(path)
        return letters(path)

    options = {"cache": tmp_path / "cache", "name": "letters", "progress": False}
    first = extract(files, counted, **options)
    again = extract(files, counted, **options)
    assert len(calls) == 3
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    extract(files, counted, **{**options, "name": "other"})
    assert len(calls) == 6
    files[0].write_bytes(b"changed")
    os.utime(files[0], (1, 1))
    assert len(extract(files, counted, **options)[0]) == 7
    assert len(calls) == 7
    for number, path in enumerate((tmp_path / "cache").iterdir()):
        path.write_bytes((b"", b"text", b"\x93NUMPY")[number % 3])  # damaged, and made again
    extract(files, counted, **options)
    extract(files, counted, **{**options, "name": "other"})
    assert len(calls) == 13


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros(3), r"0\.bin: the extractor returned float64 \(3,\)"),
        (np.zeros((3, 0)), r"0\.bin: the extractor returned float64 \(3, 0\)"),
        (np.array([["a"]]), r"0\.bin: the extractor returned <U1"),
        (np.array([[np.nan, np.inf]]), r"0\.bin: the extractor returned 2 NaN or infinite"),
    ],
)
def test_bad_results_name_the_file(files, result, message):
    with pytest.raises(ValueError, match=message):
        extract(files, lambda path: result, progress=False)


def test_other_mistakes(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        extract([tmp_path / "nowhere"], letters, progress=False)
    with pytest.raises(ValueError, match=r"1\.bin: 2 features, but earlier files have 5"):
        extract(files, lambda path: np.ones((1, len(path.read_bytes()))), progress=False)
    with pytest.raises(ValueError, match="cache needs a name"):
        extract(files, letters, cache=tmp_path)
    with pytest.raises(ValueError, match="steps=0"):
        extract(files, letters, steps=0, progress=False)


@given(st.integers(0, 40), st.integers(1, 12))
def test_shortening_averages_nearly_equal_parts(length, steps):
    values = np.random.default_rng(length).normal(size=(length, 3)).astype(np.float32)
    short = shorten(values, steps)
    assert len(short) == min(length, steps)
    if length > steps:
        edges = [i * length // steps for i in range(steps + 1)]
        sizes = np.diff(edges)
        assert sizes.max() - sizes.min() <= 1
        want = [values[a:b].mean(0) for a, b in itertools.pairwise(edges)]
        np.testing.assert_allclose(short, want, atol=1e-5)
