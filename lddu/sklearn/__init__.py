"""lddu in scikit-learn: its classifier and its calibrators as estimators.

- `LDDUClassifier`: trains, calibrates and predicts on a table or on sequences of several
  modalities.
- `MultiLabelCalibrator`: calibrates any multi-label classifier, sets its thresholds and gives
  prediction sets with a guarantee.
- `Rows`: samples of several modalities that cross-validation can count and choose from.
- `label_logits`: the log-odds of each label from any classifier, whatever the form of its output.

Needs scikit-learn 1.6 or newer: pip install 'lddu[sklearn]'. `import lddu` does not import it.
"""

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError as error:
    raise ImportError(
        "lddu.sklearn needs scikit-learn 1.6 or newer: pip install 'lddu[sklearn]'"
    ) from error

from lddu.sklearn.calibrator import MultiLabelCalibrator
from lddu.sklearn.classifier import LDDUClassifier
from lddu.sklearn.responses import label_logits
from lddu.sklearn.rows import Rows

__all__ = ["LDDUClassifier", "MultiLabelCalibrator", "Rows", "label_logits"]
