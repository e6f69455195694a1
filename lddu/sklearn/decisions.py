"""From logits of labels to probabilities and decisions, in the form that scikit-learn expects."""

from typing import Any, Literal, get_args

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from lddu.metrics import threshold

Thresholds = Literal["shared", "per_label"]


class LabelClassifier(ClassifierMixin, BaseEstimator):
    """A multi-label or binary classifier that has a logit for each label.

    A subclass has `_logits(X)`, the (N, C) logits of a fitted estimator, and sets `classes_`,
    `_binary` and `thresholds_`, which is None for decisions at one half.
    """

    def predict_proba(self, X: Any) -> np.ndarray:
        """Computes calibrated probabilities.

        Args:
          X: N samples, as in `fit`.

        Returns:
          (N, C) probability of each label, or (N, 2) of both classes where y was binary.
        """
        probs = self._probs(X)
        return np.concatenate([1 - probs, probs], axis=1) if self._binary else probs

    def decision_function(self, X: Any) -> np.ndarray:
        """Computes calibrated log-odds.

        Args:
          X: N samples, as in `fit`.

        Returns:
          (N, C) log-odds of each label, or (N,) of the second class where y was binary.
        """
        check_is_fitted(self)
        logits = self._logits(X)
        return logits[:, 0] if self._binary else logits

    def predict(self, X: Any) -> np.ndarray:
        """Decides which labels are present.

        Args:
          X: N samples, as in `fit`.

        Returns:
          (N, C) 0 and 1, or (N,) classes where y was binary: probabilities at or above the fitted
          thresholds or, where none were fitted, above one half.
        """
        check_is_fitted(self)
        logits = self._logits(X)
        present = (
            logits > 0 if self.thresholds_ is None else threshold(expit(logits), self.thresholds_)
        )
        return self.classes_[present[:, 0].astype(int)] if self._binary else present.astype(int)

    def _probs(self, X: Any) -> np.ndarray:
        """Returns (N, C) calibrated probabilities."""
        check_is_fitted(self)
        return expit(self._logits(X))

    def _check_thresholds(self) -> None:
        if self.thresholds is not None and self.thresholds not in get_args(Thresholds):
            raise ValueError(
                f"thresholds={self.thresholds!r}; choose None, "
                f"{' or '.join(map(repr, get_args(Thresholds)))}"
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags
