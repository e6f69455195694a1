"""The builder of studyforrest, with a configuration per fold."""

import dataclasses
from pathlib import Path

from lddu.data import studyforrest
from lddu.data.dataset import Dataset
from lddu.data.tfds.base import Builder, Config


@dataclasses.dataclass(eq=False)
class StudyforrestConfig(Config):
    """A fold of the film.

    Attributes:
      fold: Number of the fold, 0 to 4.
    """

    fold: int = studyforrest.STORED_FOLD


_WIDTHS = {"text": 96, "audio": 5, "vision": 149}


class Studyforrest(Builder):
    """Six emotions portrayed in the film "Forrest Gump"; the text features are hashed words."""

    LABELS = studyforrest.TASK_LABELS
    HOMEPAGE = "https://studyforrest.org"
    CITATION = "Labs et al., Portrayed emotions in the movie Forrest Gump, F1000Research 2015, 4:92"
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS wants a list)
        StudyforrestConfig(name=f"fold_{fold}", fold=fold, widths=_WIDTHS) for fold in range(5)
    ]

    def load(self, folder: Path | None) -> Dataset:
        """Loads the raw files in LDDU_DATA, or fetches them; word vectors have 96 components."""
        return studyforrest.load(fold=self.builder_config.fold, text_dim=_WIDTHS["text"])
