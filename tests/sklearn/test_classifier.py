import pickle

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lddu
from lddu.data import synthetic, take
from lddu.sklearn import LDDUClassifier, MultiLabelCalibrator, Rows
from lddu.sklearn.splitting import hold_out

TINY = LDDUClassifier(preset="tiny", epochs=1, random_state=0)


@pytest.fixture(scope="module")
def law():
    """60 samples of two short modalities, some of which are missing, with two labels."""
    config = synthetic.SyntheticConfig(
        labels=("a", "b"), features=(("x", 3), ("y", 4)), length=(("x", 5), ("y", 2)), missing=0.3
    )
    return synthetic.generate(60, seed=3, config=config).batch


@pytest.mark.slow
def test_it_equals_fit_by_hand(law):
    changes = {"train.batch_size": 8, "calibration.method": "platt", "model.encoder.layers": 0}
    model = clone(TINY).set_params(changes=changes, thresholds="per_label")
    X, y = law.replace(labels=None), law.labels
    model.fit(X, y)

    split_seed, seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=2)
    rows, held_out = hold_out(60, 0.2, None, split_seed)
    config = lddu.config.tiny({"x": (3, 5), "y": (4, 2)}, ("label0", "label1"))
    config = lddu.config.replace(
        config,
        {
            **changes,
            "train.epochs": 1,
            "train.seed": int(seed),
            "calibration.thresholds": "per_label",
        },
    )
    assert model.predictor_.config == config
    want = lddu.fit(config, take(law, rows), take(law, held_out), progress=False)
    prediction = want.predict(law, fields=("probs",))
    np.testing.assert_allclose(model.predict_proba(X), prediction.probs, rtol=1e-5)
    np.testing.assert_allclose(expit(model.decision_function(X)), prediction.probs, rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), want.decide(prediction))

    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


@pytest.mark.usefixtures("least_squares")
def test_forms_of_input_agree(law):
    lists = {
        name: [
            np.asarray(m.values[i][m.mask[i]]) if m.mask[i].any() else None for i in range(law.size)
        ]
        for name, m in law.modalities.items()
    }
    want = clone(TINY).fit(law, law.labels).predict_proba(law)
    for X in (lists, Rows(lists), Rows(law)):
        np.testing.assert_allclose(clone(TINY).fit(X, law.labels).predict_proba(X), want)
    first = {"x": [np.ones((1, 3))], "y": [None]}
    assert clone(TINY).fit(law, law.labels).predict_proba(first).shape == (1, 2)

    table = np.random.default_rng(0).normal(size=(60, 4))
    want = clone(TINY).fit(table, law.labels).predict_proba(table)
    for X in ({"table": table}, {"table": table[:, None]}):
        np.testing.assert_allclose(clone(TINY).fit(X, law.labels).predict_proba(X), want)


@pytest.mark.usefixtures("least_squares")
def test_groups_are_held_out_whole(data):
    X, y = data
    blocks = np.arange(240) // 12
    predictor = clone(TINY).fit(X, y, groups=blocks).predictor_
    assert len(np.unique(predictor.valid_groups)) == 4
    assert predictor.valid.size == 48
    held_out = np.flatnonzero(np.isin(blocks, predictor.valid_groups))
    np.testing.assert_allclose(predictor.valid.modalities["table"].values[:, 0], X[held_out])


@pytest.mark.usefixtures("least_squares")
def test_weights_reach_training_and_zero_leaves_out(data):
    X, y = data
    weight = np.arange(240) % 3
    model = clone(TINY).fit(X, y, sample_weight=weight)
    kept = weight > 0
    assert set(model.predictor_.train.weight) == {1.0, 2.0}
    assert model.predictor_.train.size + model.predictor_.valid.size == kept.sum()
    batch = Rows({"table": X}).batch.replace(weight=weight)
    as_batch = clone(TINY).fit(batch, y)
    np.testing.assert_allclose(as_batch.predict_proba(batch), model.predict_proba(X), rtol=1e-5)
    plain = clone(TINY).fit(X[kept], y[kept])
    assert plain.predictor_.train.weight is None


@pytest.mark.usefixtures("least_squares")
def test_classes_of_a_binary_target(data):
    X, y = data
    names = np.where(y[:, 0], "yes", "no")
    model = clone(TINY).fit(X, names)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predictor_.config.model.labels == ("yes",)
    assert set(model.predict(X)) == {"no", "yes"}
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expit(model.decision_function(X)))
    indicator = clone(TINY).fit(X, y)
    assert indicator.classes_.tolist() == [0, 1, 2]
    assert indicator.predictor_.config.model.labels == ("label0", "label1", "label2")


@pytest.mark.usefixtures("least_squares")
def test_thresholds(data):
    X, y = data
    for option, threshold in ((None, 0.5), ("shared", 0.3)):
        model = clone(TINY).set_params(thresholds=option).fit(X, y)
        np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) >= threshold)


@pytest.mark.usefixtures("least_squares")
def test_it_works_inside_other_estimators(data, law):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), TINY)
    probs = cross_val_predict(pipeline, X, y, cv=3, method="predict_proba")
    assert probs.shape == y.shape
    grid = GridSearchCV(
        TINY, {"preset": ["tiny", "small"], "validation_fraction": [0.2, 0.4]}, cv=2
    )
    grid.fit(Rows(law), law.labels)
    assert grid.best_estimator_.predict(law).shape == (60, 2)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    calibrated = MultiLabelCalibrator(TINY, method="platt", cv=3, random_state=0)
    assert calibrated.fit(law, law.labels).predict_proba(law).shape == (60, 2)


def test_wrong_options_are_named(data):
    X, y = data
    for options, match in (
        ({"preset": "huge"}, "preset='huge'; choose one of paper, default"),
        ({"changes": {"train.speed": 1}}, "no field 'train.speed'"),
        ({"thresholds": "best"}, "thresholds='best'"),
    ):
        with pytest.raises(ValueError, match=match):
            clone(TINY).set_params(**options).fit(X, y)
    with pytest.raises(NotFittedError):
        TINY.predict(X)
