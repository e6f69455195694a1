"""The five rotated folds of the film."""

import numpy as np
import pytest

from lddu.data import studyforrest


def test_folds_partition_the_film_by_blocks(film):
    folds = studyforrest.folds(film)
    assert len(folds) == 5
    everything = np.arange(len(film))
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), everything)
    tenth = ((film.start + 2) // 120).astype(int) % 10
    for r, fold in enumerate(folds):
        np.testing.assert_array_equal(np.sort(np.concatenate(fold)), everything)
        assert set(tenth[fold.test]) == {2 * r, 2 * r + 1}
        assert set(tenth[fold.valid]) == {(2 * r - 1) % 10}
        for part in fold:
            assert (np.diff(part) > 0).all()


def test_no_window_of_one_part_overlaps_a_window_of_another(film):
    for fold in studyforrest.folds(film):
        part = np.empty(len(film), int)
        for k, rows in enumerate(fold):
            part[rows] = k
        touching = film.start[1:] < film.end[:-1]
        assert (part[1:] == part[:-1])[touching].all()


@pytest.mark.parametrize("source", ["film", "stored"])
def test_fold_four_is_the_stored_split(source, request):
    windows = request.getfixturevalue(source)
    fold = studyforrest.folds(windows)[4]
    assert [len(part) for part in fold] == [2428, 348, 639]
    for k, rows in enumerate(fold):
        np.testing.assert_array_equal(rows, np.flatnonzero(windows.split == k))
