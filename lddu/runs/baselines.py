"""Baselines to stand beside every result: the prior, and scikit-learn on pooled features.

Each is fitted on raw training rows and returns a function from batches to probabilities (N, C).
Rows count with their weights, and a label is learned from the rows in which it is known.
"""

import functools
import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from lddu.data.batching import take
from lddu.data.labels import base_rate
from lddu.metrics.calibration import nll
from lddu.metrics.checks import known_entries
from lddu.structs import Batch

Probabilities = Callable[[Batch], np.ndarray]
_CHUNK = 1024  # rows that are held in float64 at a time
REGULARISATION = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def pooled_features(batch: Batch) -> np.ndarray:
    """Computes mean and standard deviation over the unmasked steps of every feature.

    Args:
      batch: Raw inputs.

    Returns:
      (N, F) with F the sum over modalities, in alphabetical order, of 2 D + 1: D means, D standard
      deviations, and 1 if the modality is present. A missing modality is all zeros.
    """
    return np.concatenate(
        [_pooled(take(batch, slice(i, i + _CHUNK))) for i in range(0, batch.size, _CHUNK)]
    )


def _pooled(batch: Batch) -> np.ndarray:
    columns = []
    for name in sorted(batch.modalities):
        mask = np.asarray(batch.effective_mask(name))
        values = np.where(mask[..., None], np.asarray(batch.modalities[name].values, float), 0.0)
        count = np.maximum(mask.sum(1), 1)[:, None]
        mean = values.sum(1) / count
        deviation = np.where(mask[..., None], values - mean[:, None], 0.0)
        columns += [mean, np.sqrt(np.square(deviation).sum(1) / count), mask.any(1, keepdims=True)]
    return np.concatenate(columns, axis=1)


def prior(train: Batch) -> Probabilities:
    """Predicts the base rates of the training labels, whatever the input."""
    rates = base_rate(train.labels, train.weight)
    return lambda batch: np.tile(rates, (batch.size, 1))


def logistic(
    train: Batch, valid: Batch, strengths: Sequence[float] = REGULARISATION
) -> Probabilities:
    """Fits a logistic regression per label on standardised pooled features.

    Args:
      train: Training rows with hard labels, NaN where unknown. A label with a single value there
        gets its base rate.
      valid: Validation rows with labels, NaN where unknown. They choose the regularisation, by NLL.
      strengths: Inverse regularisation strengths to try, the C of scikit-learn.

    Raises:
      ImportError: If scikit-learn is missing.
    """
    linear_model, preprocessing = _sklearn("linear_model"), _sklearn("preprocessing")
    x, rates = pooled_features(train), base_rate(train.labels, train.weight)
    scaler = preprocessing.StandardScaler().fit(x, sample_weight=train.weight)
    x, x_valid = scaler.transform(x), scaler.transform(pooled_features(valid))

    def fit(strength: float) -> list:
        return [
            _fit_label(linear_model.LogisticRegression(C=strength, max_iter=2000), x, train, c)
            for c in range(len(rates))
        ]

    def predict(models: list, x: np.ndarray) -> np.ndarray:
        return _present([None if m is None else m.predict_proba(x) for m in models], rates, len(x))

    def score(models: list) -> float:
        return nll(predict(models, x_valid), valid.labels, weights=valid.weight)

    models = min(map(fit, strengths), key=score)
    return lambda batch: predict(models, scaler.transform(pooled_features(batch)))


def forest(train: Batch, trees: int = 300, leaf: int = 10, seed: int = 0) -> Probabilities:
    """Fits a random forest on pooled features: one for all labels, or one each if any is unknown.

    Args:
      train: Training rows with hard labels, NaN where unknown. A label with a single value there
        gets its base rate.
      trees: Number of trees.
      leaf: Smallest number of rows in a leaf, whatever their weights.
      seed: Seed of the forest.

    Raises:
      ImportError: If scikit-learn is missing.
    """
    new_forest = functools.partial(
        _sklearn("ensemble").RandomForestClassifier,
        trees,
        min_samples_leaf=leaf,
        random_state=seed,
        n_jobs=-1,
    )
    x, rates = pooled_features(train), base_rate(train.labels, train.weight)
    if len(rates) > 1 and not np.isnan(np.asarray(train.labels)).any():
        model = _fit_rows(new_forest(), x, train.labels, train.weight)
        return lambda batch: _present(
            model.predict_proba(pooled_features(batch)), rates, batch.size
        )
    models = [_fit_label(new_forest(), x, train, c) for c in range(len(rates))]

    def predict(batch: Batch) -> np.ndarray:
        x = pooled_features(batch)
        columns = [None if model is None else model.predict_proba(x) for model in models]
        return _present(columns, rates, batch.size)

    return predict


def _fit_label(model: Any, x: np.ndarray, train: Batch, label: int) -> Any:
    """Fits a classifier of one label where it is known; None where it has a single value."""
    rows = known_entries(train.labels, train.weight)[1][:, label] > 0
    column = np.asarray(train.labels)[rows, label]
    if len(np.unique(column)) < 2:
        return None
    return _fit_rows(model, x[rows], column, None if train.weight is None else train.weight[rows])


def _fit_rows(model: Any, x: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> Any:
    """Fits a classifier on the rows of positive weight."""
    rows = slice(None) if weight is None else np.asarray(weight) > 0
    return model.fit(x[rows], labels[rows], sample_weight=None if weight is None else weight[rows])


def _present(columns: Sequence[np.ndarray | None], rates: np.ndarray, rows: int) -> np.ndarray:
    """Joins the probabilities of the labels, (N, C).

    Args:
      columns: (N, 2) probabilities of absence and presence for each label. A label with a single
        value in training has (N, 1) or None, and gets its base rate.
      rates: (C,) base rates.
      rows: N.
    """
    return np.stack(
        [
            np.full(rows, rate) if column is None or column.shape[1] == 1 else column[:, 1]
            for column, rate in zip(columns, rates, strict=True)
        ],
        axis=1,
    )


def _sklearn(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(
            "this baseline needs scikit-learn: pip install 'lddu[baselines]'"
        ) from error
