"""scikit-learn's own checks of estimators; each that is expected to fail is named here with why."""

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

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
LOGISTIC = OneVsRestClassifier(LogisticRegression(solver="liblinear"))
FOREST = RandomForestClassifier(8, max_depth=4, random_state=0)
CALIBRATORS = [
    MultiLabelCalibrator(FOREST, method="temperature", cv=2),
    MultiLabelCalibrator(LOGISTIC, method="platt", cv=2),
]


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
