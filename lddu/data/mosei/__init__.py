"""CMU-MOSEI: six emotions in 23,000 utterances of online monologues, from the user's own files.

data = mosei.load("folder")              # aligned; layout and labels are detected by content
print(data.card.to_text())

No licence grants redistribution, so that nothing of the data is in this package.

References:
  Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
  Dynamic Fusion Graph", ACL 2018.
"""

from lddu.data.mosei.labels import LABELS
from lddu.data.mosei.loading import load
from lddu.data.mosei.published import CHECKSUMS, PUBLISHED

__all__ = ["CHECKSUMS", "LABELS", "PUBLISHED", "load"]
