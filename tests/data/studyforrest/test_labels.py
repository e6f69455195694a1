import dataclasses

import numpy as np
import pytest

from lddu.data import studyforrest
from lddu.data.studyforrest import panel


def test_hard_labels_count_votes(film):
    votes = np.zeros_like(film.votes)
    love, fear = (film.emotions.index(name) for name in ("love", "fear"))
    votes[0, :2, love] = True
    votes[1, 3, love] = True
    votes[2, :, fear] = True
    film = dataclasses.replace(film, votes=votes)
    labels = studyforrest.task(film, ("fear", "love"))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels[:4], [[0, 1], [0, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(studyforrest.task(film, ("love",), 1)[:3], [[1], [1], [0]])


def test_published_numbers_of_positives(windows):
    counts = dict(zip(studyforrest.TASK_LABELS, studyforrest.task(windows).sum(0), strict=True))
    assert counts == {
        "happiness": 890,
        "love": 701,
        "sadness": 676,
        "fear": 639,
        "angerrage": 470,
        "contempt": 323,
    }


@pytest.mark.parametrize("function", ["task", "soft"])
def test_unknown_labels_and_thresholds(film, function):
    def call(labels, min_votes=2):
        if function == "task":
            return studyforrest.task(film, labels, min_votes)
        return studyforrest.soft_labels(film, np.arange(50), labels, min_votes)

    with pytest.raises(ValueError, match=r"\['joy'\] are not among admiration"):
        call(("love", "joy"))
    for min_votes in (0, 10):
        with pytest.raises(ValueError, match=rf"min_votes={min_votes} is not in 1\.\.9"):
            call(("love",), min_votes)


def test_soft_labels_use_the_training_votes_only(film):
    rows = np.arange(500)
    soft = studyforrest.soft_labels(film, rows)
    assert soft.shape == (len(film), 6)
    assert soft.dtype == np.float32
    # Other votes outside the rows leave the soft labels of the rows alone.
    votes = film.votes.copy()
    votes[500:] = True
    other = studyforrest.soft_labels(dataclasses.replace(film, votes=votes), rows)
    np.testing.assert_array_equal(other[:500], soft[:500])
    assert (other[500:] > 0.9).all()


def test_soft_labels_follow_the_number_of_votes(windows):
    fold = studyforrest.folds(windows)[4]
    soft = studyforrest.soft_labels(windows, fold.train)
    for column, label in enumerate(studyforrest.TASK_LABELS):
        counts = windows.votes[:, :, windows.emotions.index(label)].sum(1)
        table = panel.agreement(9, 2, panel.fit(counts[fold.train], 9))
        np.testing.assert_allclose(soft[:, column], table[counts], rtol=1e-6)
    # In the mean, a fresh panel agrees about as often as this one.
    hard = studyforrest.task(windows)[fold.train]
    np.testing.assert_allclose(soft[fold.train].mean(0), hard.mean(0), atol=0.03)
