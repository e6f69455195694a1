"""Log-odds of each label from any classifier, whatever the form of its output."""

from typing import Any, Literal

import numpy as np
from scipy.special import logit

from lddu.metrics import checks
from lddu.metrics.calibration import CLIP

ResponseMethod = Literal["auto", "predict_proba", "decision_function"]


def label_logits(
    estimator: Any,
    X: Any,
    labels: int,
    response_method: ResponseMethod = "auto",
) -> np.ndarray:
    """Computes the log-odds of each label, as a fitted classifier states them.

    Args:
      estimator: A fitted classifier with `predict_proba` or `decision_function`.
      X: N samples, as the classifier takes them.
      labels: Number of labels C; 1 for a binary classifier.
      response_method: Method to call: "predict_proba", whose values are clipped as by
        `lddu.calibration.logit`; "decision_function", whose values are taken for log-odds; or
        "auto", the first of them that the classifier has.

    Returns:
      (N, C) float64 logits.

    Raises:
      ValueError: If the output is not a list of C arrays (N, 2), an array (N, C) or, for one label,
        (N,) or (N, 2); or if `response_method` is unknown.
      AttributeError: If the classifier does not have the method.

    Example:
      >>> import numpy as np
      >>> from sklearn.dummy import DummyClassifier
      >>> from lddu.sklearn import label_logits
      >>> X, y = np.zeros((4, 1)), np.array([[1, 1], [1, 0], [1, 1], [0, 0]])
      >>> model = DummyClassifier(strategy="prior").fit(X, y)
      >>> label_logits(model, X[:1], labels=2).round(3).tolist()
      [[1.099, 0.0]]
    """
    checks.choice("response_method", response_method, ResponseMethod)
    if response_method == "auto":
        has_probs = hasattr(estimator, "predict_proba")
        response_method = "predict_proba" if has_probs else "decision_function"
    response = getattr(estimator, response_method)(X)
    if response_method == "predict_proba":
        probs = _positive(response, getattr(estimator, "classes_", None), labels)
        return logit(np.clip(probs, CLIP, 1 - CLIP))  # float64 also near a probability of 1
    return _columns(np.asarray(response, np.float64), labels, "decision_function")


def _positive(response: Any, classes: Any, labels: int) -> np.ndarray:
    """Returns (N, C) probabilities that each label is present."""
    if isinstance(response, list):
        if len(response) != labels:
            raise ValueError(
                f"predict_proba returned a list of {len(response)} arrays for {labels} labels"
            )
        per_label = classes if isinstance(classes, list) else [None] * labels
        return np.stack([_present(*x, 1) for x in zip(response, per_label, strict=True)], axis=1)
    response = np.asarray(response)
    if labels == 1 and response.ndim == 2:
        return _present(response, classes, None)[:, None]
    return _columns(response, labels, "predict_proba")


def _present(probs: Any, classes: Any, positive: Any) -> np.ndarray:
    """Returns (N,) probabilities of the positive class; None takes the second of two classes."""
    probs = np.asarray(probs)
    if probs.ndim == 2 and probs.shape[1] == 2:
        return probs[:, 1]
    if probs.ndim == 2 and probs.shape[1] == 1 and classes is not None and positive is not None:
        # The classifier saw one class of this label, and is certain of it.
        return probs[:, 0] if np.asarray(classes)[0] == positive else 1 - probs[:, 0]
    raise ValueError(f"predict_proba has shape {probs.shape} for one label, must be (N, 2)")


def _columns(values: np.ndarray, labels: int, method: str) -> np.ndarray:
    if labels == 1 and values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] != labels:
        raise ValueError(f"{method} has shape {values.shape} for {labels} labels, must be (N, C)")
    return values
