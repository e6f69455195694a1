"""One fold of the film as a data set in three splits, for the code path of all other sets."""

import numpy as np

from lddu.data.batching import take
from lddu.data.card import Findings, Source, make_card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.data.studyforrest.tasks import TASK_LABELS, folds, soft_labels, task
from lddu.data.studyforrest.windows import Windows

# Windows of the stored split, fold 4; the other folds have none.
PUBLISHED = {"train": 2428, "valid": 348, "test": 639}
STORED_FOLD = 4


def dataset(windows: Windows, fold: int = STORED_FOLD, sources: tuple[Source, ...] = ()) -> Dataset:
    """The task of record on one of its five folds.

    Args:
      windows: From `load` or `load_windows`.
      fold: 0 to 4; 4 is the stored split.
      sources: Files to name on the card.

    Returns:
      A `Dataset` with hard labels, and `soft_labels` fitted on the training windows as soft ones.
    """
    labels, rows = task(windows), folds(windows)[fold]
    soft = soft_labels(windows, rows.train)
    splits = {
        name: Split(
            take(windows.batch, part).replace(labels=labels[part]),
            np.array([f"{start:g} s" for start in windows.start[part]]),
            soft[part],
        )
        for name, part in zip(SPLITS, rows, strict=True)
    }
    card = make_card(
        "studyforrest",
        f"windows of 4 s, every 2 s; block fold {fold} of 5",
        "six emotions portrayed in a film, present at two of nine votes",
        sources,
        {name: split.batch for name, split in splits.items()},
        TASK_LABELS,
        PUBLISHED if fold == STORED_FOLD else {},
        Findings(),
    )
    return Dataset(**splits, labels=TASK_LABELS, card=card)
