"""The builder of CMU-MOSEI, aligned and unaligned."""

import dataclasses
from pathlib import Path

from lddu.data import mosei
from lddu.data.dataset import Dataset
from lddu.data.mosei.loading import Setting
from lddu.data.tfds.base import Builder, Config


@dataclasses.dataclass(eq=False)
class CmuMoseiConfig(Config):
    """A setting, with the widths of the features.

    Attributes:
      setting: "aligned" or "unaligned".
    """

    setting: Setting = "aligned"


_BERT = {"text": 768, "audio": 74, "vision": 35}
_GLOVE = {**_BERT, "text": 300}


class CmuMosei(Builder):
    """Six emotions in YouTube monologues."""

    LABELS = mosei.LABELS
    HOMEPAGE = "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/"
    CITATION = (
        "Bagher Zadeh et al., Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and "
        "Interpretable Dynamic Fusion Graph, ACL 2018"
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the feature file of any layout that lddu.data.mosei knows into the folder, and "
        "CMU_MOSEI_Labels.csd if the layout has no emotion labels. No licence grants "
        "redistribution of these files."
    )
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS wants a list)
        CmuMoseiConfig(name="aligned", widths=_BERT),
        CmuMoseiConfig(name="unaligned", setting="unaligned", widths=_BERT),
        CmuMoseiConfig(name="aligned_glove", widths=_GLOVE),
        CmuMoseiConfig(name="unaligned_glove", setting="unaligned", widths=_GLOVE),
    ]

    def load(self, folder: Path | None) -> Dataset:
        """Loads the data set with `lddu.data.mosei.load`."""
        return mosei.load(folder, setting=self.builder_config.setting)
