"""studyforrest: emotions portrayed in the film "Forrest Gump", seen by nine observers.

data = studyforrest.load(fold=4)         # a `Dataset`, from the raw files, fetched when needed
windows = studyforrest.load_windows()    # the whole film, with every observer's votes
labels = studyforrest.task(windows)      # (3415, 6)
train, valid, test = studyforrest.folds(windows)[4]
"""

from lddu.data.studyforrest.labels import EMOTIONS, TASK_LABELS, soft_labels, task
from lddu.data.studyforrest.loading import PUBLISHED, dataset, load, load_windows
from lddu.data.studyforrest.locating import cache_folder, download, locate
from lddu.data.studyforrest.readers.annotations import Votes, read_votes
from lddu.data.studyforrest.readers.speech import Line, read_lines, sentences
from lddu.data.studyforrest.readers.stimulus import AUDIO_NAMES, VISION_NAMES
from lddu.data.studyforrest.splits import STORED_FOLD, Fold, folds
from lddu.data.studyforrest.windows import Grid, Windows, grid

__all__ = [
    "AUDIO_NAMES",
    "EMOTIONS",
    "PUBLISHED",
    "STORED_FOLD",
    "TASK_LABELS",
    "VISION_NAMES",
    "Fold",
    "Grid",
    "Line",
    "Votes",
    "Windows",
    "cache_folder",
    "dataset",
    "download",
    "folds",
    "grid",
    "load",
    "load_windows",
    "locate",
    "read_lines",
    "read_votes",
    "sentences",
    "soft_labels",
    "task",
]
