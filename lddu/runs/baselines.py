"""Baselines to stand beside every result: the prior, and scikit-learn on pooled features.

Each takes raw training rows and returns a function from batches to probabilities (N, C).
"""

from collections.abc import Callable, Sequence

import numpy as np

from lddu.data.batching import take
from lddu.metrics.calibration import nll
from lddu.structs import Batch
from lddu.data.labels import base_rate

Probabilities = Callable[[Batch], np.ndarray]
_CHUNK = 1024  # rows in float64 at once
REGULARISATION = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def pooled_features(batch: Batch) -> np.ndarray:
    """Mean and standard deviation over real steps of every feature of every modality.

    Returns:
      (N, F) with F the sum over modalities of 2 D + 1; the last one tells whether the modality is
      there, and a missing modality is all zeros.
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
    """The base rates of the training labels, whatever the input."""
    rates = base_rate(train.labels)
    return lambda batch: np.tile(rates, (batch.size, 1))


def logistic(
    train: Batch, valid: Batch, strengths: Sequence[float] = REGULARISATION
) -> Probabilities:
    """Logistic regression per label on standardised pooled features.

    Args:
      train: Training rows with hard labels. A label that only ever has one value there keeps its
        base rate.
      valid: Validation rows; they choose the regularisation.
      strengths: Inverse regularisation strengths C to try.

    Raises:
      ImportError: If scikit-learn is missing.
    """
    linear_model, preprocessing = _sklearn("linear_model"), _sklearn("preprocessing")
    scaler = preprocessing.StandardScaler().fit(pooled_features(train))
    x, labels = scaler.transform(pooled_features(train)), np.asarray(train.labels)

    def fit(strength: float) -> Probabilities:
        models = [
            linear_model.LogisticRegression(C=strength, max_iter=2000).fit(x, column)
            if len(np.unique(column)) > 1
            else None
            for column in labels.T
        ]
        return lambda batch: _columns(models, scaler.transform(pooled_features(batch)), train)

    fitted = [fit(strength) for strength in strengths]
    return min(fitted, key=lambda predict: nll(predict(valid), valid.labels))


def forest(train: Batch, trees: int = 300, leaf: int = 10, seed: int = 0) -> Probabilities:
    """One random forest for all labels on pooled features.

    Args:
      train: Training rows with hard labels.
      trees: Number of trees.
      leaf: Smallest number of rows in a leaf.
      seed: Random state.

    Raises:
      ImportError: If scikit-learn is missing.
    """
    model = _sklearn("ensemble").RandomForestClassifier(
        trees, min_samples_leaf=leaf, random_state=seed, n_jobs=-1
    )
    labels = np.asarray(train.labels)
    # scikit-learn wants a single label without its axis.
    model.fit(pooled_features(train), labels[:, 0] if labels.shape[1] == 1 else labels)

    def predict(batch: Batch) -> np.ndarray:
        columns = model.predict_proba(pooled_features(batch))
        columns = columns if isinstance(columns, list) else [columns]
        rates = base_rate(labels)
        # A label with one class in training has one column only.
        return np.stack(
            [
                p[:, 1] if p.shape[1] == 2 else np.full(len(p), r)
                for p, r in zip(columns, rates, strict=True)
            ],
            axis=1,
        )

    return predict


def _columns(models: Sequence, x: np.ndarray, train: Batch) -> np.ndarray:
    rates = base_rate(train.labels)
    return np.stack(
        [
            np.full(len(x), rate) if model is None else model.predict_proba(x)[:, 1]
            for model, rate in zip(models, rates, strict=True)
        ],
        axis=1,
    )


def _sklearn(module: str):
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise ImportError(
            "this baseline needs scikit-learn: pip install 'lddu[baselines]'"
        ) from error
