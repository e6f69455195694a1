"""Cross-fitting: each row predicted by a classifier that was fitted without its fold."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, check_cv
from sklearn.utils import _safe_indexing

from lddu.sklearn.routing import rows_of
from lddu.sklearn.targets import Target


def cross_fitted(
    estimator: Any,
    X: Any,
    target: Target,
    splits: Iterator[tuple[Any, Any]],
    params: dict[str, Any],
    response: Callable[[Any, Any], np.ndarray],
) -> np.ndarray:
    """Predicts every row by a copy of a classifier that was fitted without the fold of the row.

    Args:
      estimator: The classifier, which is copied for each fold.
      X: N samples.
      target: Their labels.
      splits: Pairs of rows to fit on and rows to predict.
      params: Arguments of the classifier's `fit`, with one entry per row or one for all.
      response: response(classifier, samples) -> (n, C) predictions.

    Returns:
      (N, C) predictions.

    Raises:
      ValueError: Unless every row is predicted exactly once.
    """
    count = len(target.y)
    predictions = np.full(target.labels.shape, np.nan)
    for fit, predict in _partition(splits, count):
        copy = clone(estimator)
        copy.fit(_safe_indexing(X, fit), target.y[fit], **rows_of(params, fit, count))
        predictions[predict] = response(copy, _safe_indexing(X, predict))
    return predictions


def splitter(cv: Any, target: Target, seed: int) -> Any:
    """Returns the cross-validation splitter.

    Args:
      cv: Number of folds, a splitter, or an iterable of splits. A number makes folds of whole
        groups where there are groups, shuffled ones stratified by class for a binary target, else
        shuffled ones.
      target: Labels and groups.
      seed: Seed of the shuffling.
    """
    if not isinstance(cv, int | np.integer):
        return check_cv(cv, target.y, classifier=True)
    if target.groups is not None:
        return GroupKFold(cv)
    return (StratifiedKFold if target.binary else KFold)(cv, shuffle=True, random_state=seed)


def _partition(splits: Iterator, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns pairs of positions to fit on and to predict, after a check that they cover all."""
    rows = np.arange(count)
    splits = [(rows[fit], rows[predict]) for fit, predict in splits]
    predicted = np.concatenate([predict for _, predict in splits])
    if not np.array_equal(np.sort(predicted), rows):
        raise ValueError(
            f"cv predicts {len(np.unique(predicted))} of {count} rows, {len(predicted)} times in "
            "all; every row must be predicted exactly once, as by KFold"
        )
    return splits
