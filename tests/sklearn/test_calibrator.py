import pickle

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_predict,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lddu import calibration, metrics
from lddu.calibration import conformal, thresholds
from lddu.data import studyforrest, synthetic
from lddu.data.studyforrest.windows import block_of
from lddu.metrics.calibration import CLIP
from lddu.runs.baselines import pooled_features
from lddu.sklearn import MultiLabelCalibrator, label_logits

FOREST = RandomForestClassifier(10, max_depth=5, random_state=0)
LOGISTIC = OneVsRestClassifier(LogisticRegression(C=0.1, solver="liblinear"))
PREFIT = {"cv": "prefit", "method": "platt"}


def cross_fitted(estimator, X, y, cv, groups=None):
    """Logits of rows by copies fitted without them, column by column."""
    out = np.empty(y.shape)
    for fit, predict in cv.split(X, y, groups):
        probs = clone(estimator).fit(X[fit], y[fit]).predict_proba(X[predict])
        if isinstance(probs, list):
            probs = np.stack([p[:, 1] for p in probs], axis=1)
        out[predict] = logit(np.clip(probs, CLIP, 1 - CLIP))
    return out


def synthetic_task():
    batch = synthetic.generate(150, seed=3).batch
    return pooled_features(batch), batch.labels.astype(int), None


def grouped_task():
    X, y = make_multilabel_classification(
        200, n_features=8, n_classes=4, n_labels=1, allow_unlabeled=True, random_state=1
    )
    return X, y, np.arange(200) // 8


def film_task(folder):
    windows = studyforrest.load_windows(folder / "studyforrest" / "windows.npz")
    rows = np.arange(0, len(windows), 10)
    y = studyforrest.task(windows)[rows].astype(int)
    blocks = block_of(windows.start, windows.end)[rows]
    return pooled_features(windows.batch)[rows], y, blocks


@pytest.mark.parametrize("estimator", [FOREST, LOGISTIC], ids=["forest", "logistic"])
@pytest.mark.parametrize("source", ["indicator", "synthetic", "grouped", "film"])
def test_it_equals_the_functions_of_arrays_by_hand(source, estimator, data, request):
    if source == "film":
        X, y, groups = film_task(request.getfixturevalue("data_folder"))
    else:
        made = {"indicator": lambda: (*data, None), "synthetic": synthetic_task}
        X, y, groups = {**made, "grouped": grouped_task}[source]()
    X = StandardScaler().fit_transform(X)
    cv = KFold(3) if groups is None else GroupKFold(3)
    model = MultiLabelCalibrator(estimator, method="platt", cv=cv, thresholds="per_label")
    model.fit(X, y, groups=groups)

    logits = cross_fitted(estimator, X, y, cv, groups)
    state = calibration.fit_platt(logits, y)
    probs = expit(np.asarray(calibration.apply(state, logits), float))
    cut = thresholds.fit_per_label(probs, y, fallback=float(thresholds.fit_shared(probs, y)))
    refitted = clone(estimator).fit(X, y)
    raw = label_logits(refitted, X, y.shape[1])
    want = expit(np.asarray(calibration.apply(state, raw), float))
    np.testing.assert_allclose(model.predict_proba(X), want, atol=1e-12)
    before = label_logits(model.estimator_, X, y.shape[1])
    for score in (metrics.nll, metrics.ece):
        assert score(expit(before), y) == pytest.approx(score(expit(raw), y), abs=1e-12)
        assert score(model.predict_proba(X), y) == pytest.approx(score(want, y), abs=1e-12)
    np.testing.assert_allclose(model.decision_function(X), np.log(want / (1 - want)), rtol=1e-6)
    np.testing.assert_allclose(model.thresholds_, cut, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), want >= model.thresholds_)


def test_choose_takes_its_groups(data):
    X, y = data
    groups = np.arange(len(y)) // 12
    model = MultiLabelCalibrator(LOGISTIC, random_state=0).fit(X, y, groups=groups)
    logits = cross_fitted(LOGISTIC, X, y, GroupKFold(5), groups)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[2]
    want = calibration.choose(logits, y, groups=groups, seed=seed)
    assert model.choice_.scores == want.scores
    assert type(model.calibrator_) is type(want.state)


def test_prefit_uses_the_classifier_as_it_is(data):
    X, y = data
    fitted = clone(FOREST).fit(X[:120], y[:120])
    model = MultiLabelCalibrator(fitted, **PREFIT).fit(X[120:], y[120:])
    frozen = MultiLabelCalibrator(FrozenEstimator(fitted), method="platt").fit(X[120:], y[120:])
    assert model.estimator_ is fitted
    logits = label_logits(fitted, X[120:], 3)
    state = calibration.fit_platt(logits, y[120:])
    want = expit(np.asarray(calibration.apply(state, logits), float))
    np.testing.assert_allclose(model.predict_proba(X[120:]), want, atol=1e-12)
    np.testing.assert_array_equal(frozen.predict_proba(X), model.predict_proba(X))


def test_weights_count_as_repeated_rows(data):
    X, y = data
    fitted = clone(LOGISTIC).fit(X[:120], y[:120])
    counts = np.random.default_rng(0).integers(0, 3, 120)
    weighted = MultiLabelCalibrator(fitted, **PREFIT).fit(X[120:], y[120:], sample_weight=counts)
    rows = np.repeat(np.arange(120, 240), counts)
    repeated = MultiLabelCalibrator(fitted, **PREFIT).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-4)


def test_weights_and_other_arguments_reach_the_classifier(data):
    X, y = data

    seen = []

    class Recorder(LogisticRegression):
        def fit(self, X, y, sample_weight=None, extra=None, option=None):
            seen.append((len(X), sample_weight, extra, option))
            return super().fit(X, y, sample_weight=sample_weight)

    weight = np.where(np.arange(240) < 200, np.arange(240) % 3 + 1.0, 0.0)
    MultiLabelCalibrator(Recorder(), method="none", cv=KFold(2)).fit(
        X, y[:, 0], sample_weight=weight, extra=np.arange(240), option="x"
    )
    halves = [np.arange(100, 200), np.arange(100), np.arange(200)]
    assert len(seen) == 3
    for (count, given, extra, option), rows in zip(seen, halves, strict=True):
        assert (count, option) == (len(rows), "x")
        np.testing.assert_array_equal(extra, rows)
        np.testing.assert_array_equal(given, weight[rows])


def test_requests_decide_where_metadata_go(data):
    X, y = data
    weight, blocks = np.arange(240) % 2 + 1.0, np.arange(240) // 24
    with config_context(enable_metadata_routing=True):
        forest = clone(FOREST).set_fit_request(sample_weight=True)
        model = MultiLabelCalibrator(forest, method="platt", cv=GroupKFold(3))
        model.set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=False)
        found = cross_validate(
            model,
            X,
            y,
            cv=GroupKFold(2),
            params={"sample_weight": weight, "groups": blocks},
            return_estimator=True,
            return_indices=True,
        )
        with pytest.raises(UnsetMetadataPassedError):
            MultiLabelCalibrator(FOREST, cv=2).fit(X, y, sample_weight=weight)
    rows = found["indices"]["train"][0]
    want = MultiLabelCalibrator(FOREST, method="platt", cv=GroupKFold(3))
    want.fit(X[rows], y[rows], sample_weight=weight[rows], groups=blocks[rows])
    np.testing.assert_array_equal(found["estimator"][0].predict_proba(X), want.predict_proba(X))


def test_sets_are_controlled_on_rows_that_nothing_else_used(data):
    X, y = data
    model = MultiLabelCalibrator(
        LOGISTIC, method="platt", control_fraction=0.25, random_state=1
    ).fit(X, y)
    probs, labels, groups = model.control_
    assert probs.shape == labels.shape == (60, 3)
    assert groups is None
    held_out = [np.flatnonzero((np.abs(model.predict_proba(X) - p).max(1)) < 1e-12) for p in probs]
    held_out = np.unique(np.concatenate(held_out))
    assert len(held_out) == 60
    rest = np.setdiff1d(np.arange(240), held_out)
    alone = clone(LOGISTIC).fit(X[rest], y[rest])
    np.testing.assert_allclose(alone.predict_proba(X), model.estimator_.predict_proba(X))

    state = conformal.fit_false_negative_rate(probs, labels, 0.2)
    np.testing.assert_array_equal(
        model.predict_sets(X, 0.2), conformal.apply(state, model.predict_proba(X))
    )
    sizes = [model.predict_sets(X, level).sum() for level in (0.05, 0.2, 0.5)]
    assert sizes == sorted(sizes, reverse=True)


def test_groups_are_held_out_whole(data):
    X, y = data
    blocks = np.arange(240) // 10
    options = {"method": "platt", "control_fraction": 0.25, "random_state": 0, "cv": 3}
    model = MultiLabelCalibrator(LOGISTIC, **options).fit(X, y, groups=blocks)
    held_out, sizes = np.unique(model.control_.groups, return_counts=True)
    assert len(held_out) == 6
    assert (sizes == 10).all()


def test_sets_need_rows_of_their_own(data):
    X, y = data
    model = MultiLabelCalibrator(LOGISTIC, method="none", cv=2).fit(X, y)
    with pytest.raises(ValueError, match="set control_fraction"):
        model.predict_sets(X)


def test_scores_without_probabilities_are_calibrated(data):
    X, y = data
    model = MultiLabelCalibrator(RidgeClassifier(), method="vector", cv=3).fit(X, y)
    probs = model.predict_proba(X)
    assert model.n_features_in_ == 5
    # Vector scaling with an intercept reproduces base rates, but for its prior.
    np.testing.assert_allclose(probs.mean(0), y.mean(0), atol=0.05)


def test_it_works_inside_other_estimators(data):
    X, y = data
    model = MultiLabelCalibrator(LOGISTIC, method="temperature", cv=KFold(2))
    pipeline = make_pipeline(StandardScaler(), model)
    probs = cross_val_predict(pipeline, X, y, cv=2, method="predict_proba")
    assert probs.shape == y.shape
    grid = GridSearchCV(
        model, {"method": ["none", "temperature"], "estimator__estimator__C": [0.1, 1.0]}, cv=2
    ).fit(X, y)
    assert len(grid.cv_results_["params"]) == 4
    copy = pickle.loads(pickle.dumps(grid.best_estimator_))
    np.testing.assert_array_equal(copy.predict_proba(X), grid.predict_proba(X))
    assert clone(model).get_params().keys() == model.get_params().keys()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "plat"}, "method='plat'; choose one of"),
        ({"thresholds": "best"}, "thresholds='best'"),
        ({"cv": ShuffleSplit(2, random_state=0)}, "must be predicted exactly once"),
        ({"response_method": "predict"}, "response_method='predict'"),
    ],
)
def test_wrong_options_are_named(options, match, data):
    with pytest.raises(ValueError, match=match):
        MultiLabelCalibrator(LOGISTIC, **{"method": "none", "cv": 2, **options}).fit(*data)
