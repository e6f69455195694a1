"""Labels that are easy to predict, and a stand-in for the network, which takes seconds to train."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification

import lddu.sklearn.classifier
from lddu.data.batching import check_batch
from lddu.data.normalize import fit_normalizer
from lddu.runs.baselines import pooled_features


class LeastSquares:
    """A linear model on pooled features that takes the place of a trained `Predictor`."""

    def __init__(self, config, train, valid, groups):
        self.config, self.train, self.valid, self.valid_groups = config, train, valid, groups
        self.thresholds = np.full(len(config.model.labels), 0.3)
        features = pooled_features(train)
        self.shift, self.scale = features.mean(0), features.std(0) + 1e-9
        root = np.sqrt(np.ones(train.size) if train.weight is None else train.weight)[:, None]
        wanted = 8 * train.labels - 4
        self.slopes = np.linalg.lstsq(root * self.features(train), root * wanted, rcond=None)[0]
        self.normalizer = fit_normalizer(train)

    def features(self, batch):
        values = (pooled_features(batch) - self.shift) / self.scale
        return np.concatenate([values, np.ones((len(values), 1))], axis=1)

    def predict(self, batch, fields):
        check_batch(batch, self.config.model)
        return SimpleNamespace(logits=self.features(batch) @ self.slopes)


@pytest.fixture
def least_squares(monkeypatch):
    """Puts least squares in place of the network, for tests of all that is around it."""

    def train_only(config, train, valid, folder, progress):
        for batch in (train, valid):
            check_batch(batch, config.model, labelled=True)
        return config, train

    def calibrate(trained, valid, groups):
        return LeastSquares(*trained, valid, groups)

    monkeypatch.setattr(lddu.sklearn.classifier, "train_only", train_only)
    monkeypatch.setattr(lddu.sklearn.classifier, "calibrate", calibrate)


@pytest.fixture(scope="session")
def data():
    """(X, y): 240 rows of five features and three labels."""
    return make_multilabel_classification(
        240, n_features=5, n_classes=3, allow_unlabeled=True, random_state=0
    )
