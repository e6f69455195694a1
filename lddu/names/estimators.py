"""Probabilities as multi-output estimators of scikit-learn return them."""

from typing import Any

import numpy as np

_ROUNDING = 1e-3  # by which a row of probabilities may miss the sum of 1, also in float16


def positive_class(name: str, value: Any) -> Any:
    """Returns (N, C) probabilities in place of the list that a `predict_proba` gives.

    The estimators of `MultiOutputClassifier`, forests and neighbours return, for C labels, a list
    of C arrays (N, 2): the probabilities of absence and of presence, which sum to 1. Only such a
    list of arrays is read in this way; nested lists of numbers and single arrays are not.

    Args:
      name: What the value is called in error messages.
      value: Anything.

    Returns:
      The probabilities of presence; `value` itself if it is no such list.

    Raises:
      ValueError: If some arrays of such a list have one column, because their label had one class
        in training.

    Example:
      >>> positive_class("probs", [np.array([[0.75, 0.25]]), np.array([[0.5, 0.5]])]).tolist()
      [[0.25, 0.5]]
    """
    if type(value) is not list or not value:
        return value
    if not all(isinstance(x, np.ndarray) and x.ndim == 2 for x in value):
        return value
    shapes, rows = {x.shape for x in value}, len(value[0])
    if not shapes <= {(rows, 1), (rows, 2)} or (rows, 2) not in shapes:
        return value
    if not all(np.allclose(x.sum(1), 1.0, atol=_ROUNDING) for x in value):
        return value
    single = [i for i, x in enumerate(value) if x.shape[1] == 1]
    if single:
        raise ValueError(
            f"{name}[{single[0]}] has one column: the estimator saw one class of that label in "
            "training; put the probability of presence, all 0 or all 1, in its place"
        )
    return np.stack([x[:, 1] for x in value], axis=1)
