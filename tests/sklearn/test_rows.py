import pickle

import numpy as np
import pytest
from sklearn.model_selection import KFold, train_test_split

from lddu.sklearn import Rows


@pytest.fixture
def rows():
    return Rows(
        {"text": [np.full((i + 1, 2), i) for i in range(6)], "age": np.arange(6.0)[:, None]}
    )


def ages(rows):
    return rows.batch.modalities["age"].values[:, 0, 0].tolist()


def test_rows_are_chosen_as_from_an_array(rows):
    assert rows.shape == (len(rows),) == (6,)
    assert ages(rows[[4, 1]]) == [4, 1]
    assert ages(rows[np.arange(6) > 3]) == [4, 5]
    assert ages(rows[2:4]) == [2, 3]
    assert ages(rows[3]) == [3]
    assert ages(Rows(rows)) == ages(pickle.loads(pickle.dumps(rows))) == list(range(6))


def test_padding_does_not_depend_on_the_choice(rows):
    assert rows[[0]].batch.modalities["text"].values.shape == (1, 6, 2)


def test_scikit_learn_splits_them(rows):
    first, second = train_test_split(rows, test_size=2, random_state=0)
    assert sorted(ages(first) + ages(second)) == list(range(6))
    assert sum(len(test) for _, test in KFold(3).split(rows)) == 6
