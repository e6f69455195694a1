"""M3ED: emotions in dialogues of 56 Chinese television series, marked by three annotators.

data = m3ed.load("path/to/M3ED")                    # one sample = one dialogue
data = m3ed.load("path/to/M3ED", task="utterance")  # one sample = one utterance

lddu may not distribute the files; the authors do: https://github.com/AIM3-RUC/RUCM3ED.

References:
  Zhao et al., M3ED: Multi-modal Multi-scene Multi-label Emotional Dialogue Database, ACL 2022.
"""

from lddu.data.m3ed.labels import LABELS
from lddu.data.m3ed.loading import PUBLISHED, load

__all__ = ["LABELS", "PUBLISHED", "load"]
