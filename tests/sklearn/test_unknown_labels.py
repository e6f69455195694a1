"""Weights and unknown labels reach every fit."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from lddu import calibration
from lddu.calibration import thresholds
from lddu.sklearn import LDDUClassifier, MultiLabelCalibrator, label_logits


@pytest.fixture(scope="module")
def fitted(data):
    """A classifier that was fitted on the first half of the rows."""
    return OneVsRestClassifier(LogisticRegression(solver="liblinear")).fit(*(x[:120] for x in data))


@pytest.fixture(scope="module")
def rows(data):
    """(X, y, weight): the other half, with a fifth of the labels unknown, and weights 1 and 2."""
    X, y = (x[120:] for x in data)
    rng = np.random.default_rng(0)
    return X, np.where(rng.random(y.shape) < 0.2, np.nan, y), rng.integers(1, 3, 120)


@pytest.mark.parametrize("method", ["choose", "platt"])
def test_it_equals_the_functions_of_arrays_by_hand(method, fitted, rows):
    X, y, weight = rows
    model = MultiLabelCalibrator(
        fitted, method=method, cv="prefit", thresholds="per_label", random_state=0
    )
    model.fit(X, y, sample_weight=weight)
    logits = label_logits(fitted, X, 3)
    if method == "choose":
        seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[2]
        state = calibration.choose(logits, y, seed=seed, weights=weight).state
    else:
        state = calibration.fit_platt(logits, y, weights=weight)
    probs = expit(np.asarray(calibration.apply(state, logits), float))
    shared = thresholds.fit_shared(probs, y, weights=weight)
    cut = thresholds.fit_per_label(probs, y, fallback=float(shared), weights=weight)
    np.testing.assert_allclose(model.predict_proba(X), probs, atol=1e-12)
    np.testing.assert_allclose(model.thresholds_, cut, atol=1e-12)


def test_prediction_sets_take_unknown_labels(fitted, rows):
    X, y, _ = rows
    options = {"method": "platt", "cv": "prefit", "control_fraction": 0.5, "random_state": 0}
    model = MultiLabelCalibrator(fitted, **options).fit(X, y)
    assert np.isnan(model.control_.labels).any()
    assert model.predict_sets(X, 0.2).shape == y.shape


@pytest.mark.usefixtures("least_squares")
def test_cross_fitting_passes_unknown_labels_on(data, monkeypatch):
    X, y = data
    y = np.where(np.random.default_rng(0).random(y.shape) < 0.2, np.nan, y)
    seen = []

    class Recorder(LDDUClassifier):
        def fit(self, X, y, sample_weight=None, groups=None):
            seen.append(y)
            return super().fit(X, np.nan_to_num(y), sample_weight, groups)

    MultiLabelCalibrator(Recorder(preset="tiny"), method="platt", cv=2, random_state=0).fit(X, y)
    assert len(seen) == 3
    np.testing.assert_array_equal(seen[-1], y)


@pytest.mark.slow
def test_the_classifier_learns_from_known_labels(data):
    X, y = data
    y = np.where(np.random.default_rng(0).random(y.shape) < 0.2, np.nan, y)
    changes = {"model.encoder.layers": 0}  # which compiles faster
    model = LDDUClassifier(preset="tiny", epochs=1, random_state=0, changes=changes)
    model = clone(model).fit(X, y, sample_weight=np.arange(240) % 2 + 1)
    assert np.isfinite(model.predict_proba(X)).all()
