"""scikit-learn's own checks of estimators; each that is expected to fail is named here with why."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import lddu.sklearn.classifier
from lddu.data.batching import check_batch
from lddu.data.normalize import fit_normalizer, normalize
from lddu.sklearn import LDDUClassifier, MultiLabelCalibrator

EXPECTED_TO_FAIL = {
    "MultiLabelCalibrator": {
        "check_sample_weight_equivalence_on_dense_data": (
            "folds are drawn by rows, and repeated rows are more rows (test_weights_count_as_"
            "repeated_rows has the equivalence where no folds are drawn)"
        ),
        "check_sample_weight_equivalence_on_sparse_data": "as on dense data",
    },
    "LDDUClassifier": {
        "check_sample_weight_equivalence_on_dense_data": (
            "the held-out part and the batches are drawn by rows, and repeated rows are more rows"
        ),
    },
}


def expected_to_fail(estimator):
    return EXPECTED_TO_FAIL[type(estimator).__name__]


NETWORK = {
    "model.encoder.hidden": 4,
    "model.encoder.heads": 1,
    "model.encoder.feed_forward": 4,
    "model.latent": 2,
    "model.latent_hidden": (4,),
    "loss.bank_size": 16,
    "train.learning_rate": 0.1,
}
CLASSIFIER = LDDUClassifier(preset="tiny", changes=NETWORK, epochs=5)
FOREST = RandomForestClassifier(8, max_depth=4, random_state=0)
CALIBRATORS = [
    MultiLabelCalibrator(FOREST, method="temperature", cv=2),
    MultiLabelCalibrator(OneVsRestClassifier(LogisticRegression()), method="platt", cv=2),
]


class LeastSquares:
    """Stands in for a trained and calibrated `Predictor`."""

    def __init__(self, config, train):
        self.config, self.normalizer = config, fit_normalizer(train)
        root = np.sqrt(np.ones(train.size) if train.weight is None else train.weight)[:, None]
        wanted = 8 * train.labels - 4
        self.slopes = np.linalg.lstsq(root * self.features(train), root * wanted, rcond=None)[0]

    def features(self, batch):
        values = normalize(batch, self.normalizer).modalities["table"].values[:, 0]
        return np.concatenate([values, np.ones((len(values), 1))], axis=1)

    def predict(self, batch, fields):
        check_batch(batch, self.config.model)
        return SimpleNamespace(logits=self.features(batch) @ self.slopes)


@pytest.fixture
def least_squares(monkeypatch):
    """Puts least squares in place of the network, for checks of all that is around it."""

    def train_only(config, train, valid, folder, progress):
        for batch in (train, valid):
            check_batch(batch, config.model, labelled=True)
        return LeastSquares(config, train)

    module = lddu.sklearn.classifier
    monkeypatch.setattr(module, "train_only", train_only)
    monkeypatch.setattr(module, "calibrate", lambda predictor, valid, groups: predictor)


@parametrize_with_checks(CALIBRATORS, expected_failed_checks=expected_to_fail)
def test_calibrator(estimator, check):
    check(estimator)


@pytest.mark.usefixtures("least_squares")
@parametrize_with_checks([CLASSIFIER], expected_failed_checks=expected_to_fail)
def test_classifier_around_its_network(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.repeated
@parametrize_with_checks([CLASSIFIER], expected_failed_checks=expected_to_fail)
def test_classifier(estimator, check):
    check(estimator)
