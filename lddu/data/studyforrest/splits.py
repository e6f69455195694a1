"""The five rotated folds of the film, by blocks of 120 s."""

from typing import NamedTuple

import numpy as np

from lddu.data.studyforrest.windows import Windows, block_of

STORED_FOLD = 4
FOLDS = 5


class Fold(NamedTuple):
    """Row numbers of the training, validation and test windows, each in film order."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def folds(windows: Windows) -> list[Fold]:
    """Returns five folds, whose test parts together are the whole film, each window once.

    With b the window's 120-s block modulo 10, fold r tests b in {2r, 2r + 1}, validates on
    b = 2r - 1 modulo 10 and trains on the rest. Fold 4 is `windows.split`. Whole blocks move
    together because neighbouring windows overlap.
    """
    tenth = block_of(windows.start, windows.end) % 10
    out = []
    for r in range(FOLDS):
        test = tenth // 2 == r
        valid = tenth == (2 * r - 1) % 10
        out.append(Fold(*(np.flatnonzero(part) for part in (~test & ~valid, valid, test))))
    return out
