"""The builder of M3ED, for the dialogue and the utterance task."""

import dataclasses
from pathlib import Path

from lddu.data import m3ed
from lddu.data.dataset import Dataset
from lddu.data.m3ed.loading import Task
from lddu.data.tfds.base import Builder, Config


@dataclasses.dataclass(eq=False)
class M3edConfig(Config):
    """A task, with the widths of the features.

    Attributes:
      task: "dialogue" or "utterance".
    """

    task: Task = "dialogue"


_WIDTHS = {"text": 768, "audio": 1024, "vision": 342}


class M3ed(Builder):
    """Seven emotions in dialogues of Chinese TV series."""

    LABELS = m3ed.LABELS
    HOMEPAGE = "https://github.com/AIM3-RUC/RUCM3ED"
    CITATION = (
        "Zhao et al., M3ED: Multi-modal Multi-scene Multi-label Emotional Dialogue Database, "
        "ACL 2022"
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put annotation.json, splitInfo and the feature pickle into the folder, or CARAT's "
        "m3ed_data_60.pt for the dialogue task alone; see lddu.data.m3ed."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS wants a list)
        M3edConfig(name="dialogue", widths=_WIDTHS),
        M3edConfig(name="utterance", task="utterance", widths=_WIDTHS),
    ]

    def load(self, folder: Path | None) -> Dataset:
        """Loads the data set with `lddu.data.m3ed.load`."""
        return m3ed.load(folder, task=self.builder_config.task)
