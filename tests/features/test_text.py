import hashlib

import numpy as np
import pytest

from lddu.features.text import hashed_words


def test_one_row_per_whitespace_word():
    out = hashed_words(32)(["Hello,  world again", "", "  ", "one"])
    assert [rows.shape for rows in out] == [(3, 32), (0, 32), (0, 32), (1, 32)]
    assert all(rows.dtype == np.float32 for rows in out)


def test_a_word_by_hand():
    dim = 16
    expected = np.zeros(dim)
    # The word itself (after a tab), then its 3-grams, with the ends of the word marked.
    for feature in ("\tcat", "<ca", "cat", "at>"):
        digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
        code = int.from_bytes(digest, "little")
        expected[(code >> 1) % dim] += 1 if code & 1 else -1
    (out,) = hashed_words(dim, shortest=3, longest=3)(["Cat"])
    np.testing.assert_allclose(out[0], expected / np.linalg.norm(expected), rtol=1e-6)


def test_rows_have_length_one_and_depend_on_the_word_alone():
    text = hashed_words(96)
    (first,), (second,) = text(["mama always said"]), text(["said mama"])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(first[2], second[0])
    np.testing.assert_array_equal(first[0], second[1])


def test_related_words_are_nearer_than_unrelated_ones():
    ((run, running, chocolate),) = hashed_words(256)(["run running chocolate"])
    assert run @ running > 0.3
    assert abs(run @ chocolate) < 0.2


def test_callers_cannot_change_the_cache():
    text = hashed_words(8)
    (before,) = text(["word"])
    kept = before.copy()
    before[:] = 7
    np.testing.assert_array_equal(text(["word"])[0], kept)


def test_the_same_in_every_process():
    # Python's own hash of a string differs from process to process.
    (out,) = hashed_words(6)(["forrest"])
    counts = np.array([0, 0, 1, 1, 1, -2])
    np.testing.assert_allclose(out[0], counts / np.linalg.norm(counts), rtol=1e-6)


@pytest.mark.parametrize(("arguments"), [(0, 3, 5), (8, 0, 5), (8, 4, 3)])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="hashed_words: "):
        hashed_words(*arguments)
