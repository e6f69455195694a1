import warnings

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lddu.data.batching import take
from lddu.data.labels import base_rate
from lddu.data.synthetic import generate
from lddu.metrics import nll
from lddu.runs import baselines


@pytest.fixture(scope="module")
def splits():
    return tuple(generate(n, seed=n).batch for n in (300, 150, 60))


def one_class(batch, column, value):
    labels = batch.labels.copy()
    labels[:, column] = value
    return batch.replace(labels=labels)


def test_pooled_features_equal_a_loop(splits):
    batch = take(splits[2], np.arange(20))
    for modality in batch.modalities.values():
        modality.values[~modality.mask] = np.nan
    got = baselines.pooled_features(batch)
    assert got.shape == (20, (2 * 6 + 1) + (2 * 8 + 1) + (2 * 10 + 1))
    for i in range(20):
        row = []
        for name in ("audio", "text", "vision"):
            steps = batch.modalities[name].values[i][batch.modalities[name].mask[i]].astype(float)
            if len(steps):
                row += [*steps.mean(0), *steps.std(0), 1.0]
            else:
                row += [0.0] * (2 * steps.shape[1] + 1)
        np.testing.assert_allclose(got[i], row, atol=1e-6)
    assert not np.stack(list(batch.present.values())).all()  # the second branch was taken


def test_pooled_features_of_a_missing_modality_are_zero(splits):
    batch = take(splits[2], np.arange(5))
    present = {**batch.present, "audio": np.zeros(5, bool)}
    got = baselines.pooled_features(batch.replace(present=present))
    assert not got[:, :13].any()
    assert got[:, 13:].any()


def test_prior_is_the_base_rate(splits):
    train, _, test = splits
    probs = baselines.prior(train)(test)
    want = (train.labels.sum(0) + 1) / (train.size + 2)
    np.testing.assert_allclose(probs, np.tile(want, (test.size, 1)))


def test_logistic_equals_a_scikit_learn_pipeline(splits):
    train, valid, test = splits
    probs = baselines.logistic(train, valid, strengths=(0.01,))(test)
    x, new = baselines.pooled_features(train), baselines.pooled_features(test)
    for c, column in enumerate(train.labels.T):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        want = model.fit(x, column).predict_proba(new)[:, 1]
        np.testing.assert_allclose(probs[:, c], want, atol=1e-6)
    prior = baselines.prior(train)(test)
    assert nll(probs, test.labels) < nll(prior, test.labels)


def test_logistic_takes_the_strength_that_validation_prefers(splits):
    train, valid, test = splits
    strengths = (1e-5, 0.03, 100.0)
    each = [baselines.logistic(train, valid, strengths=(s,)) for s in strengths]
    scores = [nll(predict(valid), valid.labels) for predict in each]
    best = int(np.argmin(scores))
    chosen = baselines.logistic(train, valid, strengths=strengths)(test)
    np.testing.assert_array_equal(chosen, each[best](test))
    assert best == 1  # neither the first nor the last


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_of_one_class_keeps_its_base_rate(splits, value):
    train, valid, test = splits
    train = one_class(take(train, np.arange(60)), 2, value)
    rate = base_rate(train.labels)[2]
    assert 0 < rate < 1
    for predict in (
        baselines.logistic(train, valid, strengths=(0.01,)),
        baselines.forest(train, trees=5),
    ):
        probs = predict(test)
        assert probs.shape == test.labels.shape
        np.testing.assert_allclose(probs[:, 2], rate)
        assert np.ptp(probs[:, [0, 1, 3]], axis=0).min() > 0


def test_forest_equals_scikit_learn(splits):
    train, _, test = splits
    probs = baselines.forest(train, trees=8, leaf=5, seed=1)(test)
    model = RandomForestClassifier(8, min_samples_leaf=5, random_state=1)
    model.fit(baselines.pooled_features(train), train.labels)
    want = model.predict_proba(baselines.pooled_features(test))
    np.testing.assert_allclose(probs, np.stack([p[:, 1] for p in want], 1))


@pytest.mark.parametrize("value", [None, 0, 1])
def test_forest_with_a_single_label(splits, value):
    train, _, test = splits
    single = take(train, np.arange(80)).replace(labels=train.labels[:80, :1])
    if value is not None:
        single = one_class(single, 0, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probs = baselines.forest(single, trees=5)(test)
    assert probs.shape == (60, 1)
    assert ((probs >= 0) & (probs <= 1)).all()
    if value is None:
        assert np.ptp(probs) > 0
    else:
        np.testing.assert_allclose(probs, base_rate(single.labels)[0])


@pytest.fixture(scope="module")
def partly(splits):
    """Training and validation rows with weights, where each label is known in some rows only."""
    rng, changed = np.random.default_rng(0), []
    for batch in splits[:2]:
        known = rng.random(batch.labels.shape) < [0.7, 1.0, 0.6, 0.8]
        weight = rng.integers(0, 3, batch.size).astype(np.float32)
        labels = np.where(known, batch.labels, np.nan).astype(np.float32)
        changed.append(batch.replace(labels=labels, weight=weight))
    return changed


def test_unknown_labels_and_weights_equal_repeated_known_rows(splits, partly):
    """For each label by itself; the regression's features are standardised over all rows."""
    (train, valid), test = partly, splits[2]
    strengths = (0.003, 0.03)
    probs = baselines.logistic(train, valid, strengths)(test)
    prior = baselines.prior(train)(test)
    copies = np.repeat(np.arange(train.size), train.weight.astype(int))
    repeated = take(train, copies).replace(weight=None)
    x = baselines.pooled_features(repeated)
    scaler = StandardScaler().fit(x)
    found = {}
    for strength in strengths:
        columns = []
        for c, column in enumerate(repeated.labels.T):
            known = ~np.isnan(column)
            np.testing.assert_allclose(prior[0, c], base_rate(column[known][:, None])[0])
            model = LogisticRegression(C=strength, max_iter=2000, tol=1e-8)
            columns.append(model.fit(scaler.transform(x[known]), column[known]))

        def predict(batch, columns=columns):
            new = scaler.transform(baselines.pooled_features(batch))
            return np.stack([m.predict_proba(new)[:, 1] for m in columns], 1)

        known = ~np.isnan(valid.labels)
        entries = (valid.weight[:, None] * known)[known]
        loss = log_loss(valid.labels[known], predict(valid)[known], sample_weight=entries)
        found[loss] = predict(test)
    np.testing.assert_allclose(probs, found[min(found)], atol=2e-3)
    assert np.abs(probs - found[max(found)]).max() > 1e-2


def test_a_forest_of_each_label_sees_its_known_rows(splits, partly):
    train, test = partly[0], splits[2]
    probs = baselines.forest(train, trees=6, leaf=5, seed=1)(test)
    x, new = baselines.pooled_features(train), baselines.pooled_features(test)
    for c, column in enumerate(train.labels.T):
        rows = ~np.isnan(column) & (train.weight > 0)
        model = RandomForestClassifier(6, min_samples_leaf=5, random_state=1)
        model.fit(x[rows], column[rows], sample_weight=train.weight[rows])
        np.testing.assert_allclose(probs[:, c], model.predict_proba(new)[:, 1])
    nobody = train.replace(labels=np.where(np.arange(4) == 2, np.nan, train.labels))
    np.testing.assert_array_equal(baselines.forest(nobody, trees=2)(test)[:, 2], 0.5)


def test_a_forest_of_all_labels_takes_weights(splits, partly):
    train, _, test = splits
    weight = partly[0].weight
    rows = weight > 0
    probs = baselines.forest(train.replace(weight=weight), trees=6, leaf=5, seed=1)(test)
    model = RandomForestClassifier(6, min_samples_leaf=5, random_state=1)
    x = baselines.pooled_features(train)[rows]
    model.fit(x, train.labels[rows], sample_weight=weight[rows])
    want = model.predict_proba(baselines.pooled_features(test))
    np.testing.assert_allclose(probs, np.stack([p[:, 1] for p in want], 1))


def test_missing_scikit_learn_is_named(splits, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError, match=r"lddu\[baselines\]"):
        baselines.forest(splits[0])
