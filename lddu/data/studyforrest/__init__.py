"""studyforrest: emotions portrayed in the film "Forrest Gump", seen by nine observers.

windows = studyforrest.load()            # from the raw files, fetched when needed
labels = studyforrest.task(windows)      # (3415, 6)
train, valid, test = studyforrest.folds(windows)[4]
"""

from lddu.data.studyforrest.annotations import EMOTIONS, Votes, read_votes
from lddu.data.studyforrest.benchmark import load_windows
from lddu.data.studyforrest.files import cache_folder, download, locate
from lddu.data.studyforrest.speech import Line, read_lines, sentences
from lddu.data.studyforrest.split import STORED_FOLD, dataset
from lddu.data.studyforrest.stimulus import AUDIO_NAMES, VISION_NAMES
from lddu.data.studyforrest.tasks import TASK_LABELS, Fold, folds, soft_labels, task
from lddu.data.studyforrest.windows import Grid, Windows, grid, load

__all__ = [
    "AUDIO_NAMES",
    "EMOTIONS",
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
