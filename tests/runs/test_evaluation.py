import numpy as np
import pytest

import lddu
from lddu.calibration.thresholds import fit_shared
from lddu.data import take
from lddu.predictor import Predictor
from lddu.runs import evaluation


@pytest.fixture(scope="module")
def splits(tiny_data):
    return [drawn.batch for drawn in tiny_data]


@pytest.fixture(scope="module")
def honest(predictor, splits):
    """By the validation protocol, which needs no test labels, and the data passed over."""
    _, valid, test = splits
    with pytest.MonkeyPatch.context() as patch:
        passes = watch(patch)
        return evaluation.by_validation(predictor, valid, test.replace(labels=None)), passes


def watch(patch):
    """Records the rows of each pass over data; all members take part in a pass."""
    passes, members = [], Predictor.members

    def counted(self, batch, **options):
        passes.append(batch.size)
        return members(self, batch, **options)

    def forbidden(*args, **options):
        raise AssertionError("a pass over the data beside `members`")

    patch.setattr(Predictor, "members", counted)
    for name in ("predict", "predict_batches", "member_probs"):
        patch.setattr(Predictor, name, forbidden)
    return passes


def test_each_split_is_passed_over_once(honest, splits):
    _, valid, test = splits
    assert honest[1] == [valid.size, test.size]


def test_predictions_are_those_of_calibrated_predictors(honest, predictor, splits):
    _, valid, test = splits
    models = honest[0].models
    names = ["lddu", "lddu_calibrated", "lddu_ensemble", "lddu_ensemble_calibrated"]
    assert list(models) == names
    assert honest[0].main in models
    singles = [lddu.calibrate(predictor.member(k), valid) for k in range(2)]
    for name, fitted in (("lddu", singles), ("lddu_ensemble", [lddu.calibrate(predictor, valid)])):
        for suffix, calibrated in (("", False), ("_calibrated", True)):
            made = models[name + suffix]
            for one, probs, cuts in zip(fitted, made.probs, made.thresholds, strict=True):
                expected = one.predict(test, calibrated=calibrated).probs
                np.testing.assert_allclose(probs, expected, rtol=1e-4, atol=1e-6)
                on_valid = one.predict(valid, calibrated=calibrated).probs
                np.testing.assert_allclose(cuts, fit_shared(on_valid, valid.labels), rtol=1e-3)
    weights = predictor.predict(test).weights
    np.testing.assert_allclose(honest[0].test.rest.weights, weights, rtol=1e-4, atol=1e-6)
    # The detail is that of the main model: both uncertainties make up its variance.
    told, main = honest[0].detail, models[honest[0].main].probs[0]
    np.testing.assert_allclose(told.aleatoric + told.epistemic, main * (1 - main), atol=1e-6)
    assert len(told.neighbours) == test.size
    assert honest[0].test.rest.fused is None


def test_the_ensemble_comes_back_calibrated(honest, predictor, splits):
    _, valid, test = splits
    expected = lddu.calibrate(predictor, valid).predict(test).probs
    probs = honest[0].predictor.predict(test).probs
    np.testing.assert_allclose(probs, expected, rtol=1e-4, atol=1e-6)


def test_one_member_is_no_ensemble(predictor, splits):
    _, valid, test = splits
    one = predictor.member(1)
    done = evaluation.by_validation(one, valid, test)
    assert list(done.models) == ["lddu", "lddu_calibrated"]
    assert done.main == "lddu_calibrated"
    done = evaluation.by_test(one, test)
    assert len(done.models) == 2
    assert done.main == "lddu [epoch chosen on TEST]"


def test_the_official_protocol_chooses_on_the_test_labels(predictor, splits, monkeypatch):
    test = splits[2]
    passes = watch(monkeypatch)
    done = evaluation.by_test(predictor, test)
    assert passes == [test.size]
    assert len(done.models) == 4
    assert all("TEST" in name for name in done.models)
    assert done.main == "lddu_ensemble [epoch chosen on TEST]"
    main = done.models[done.main].probs[0]
    total = done.detail.aleatoric + done.detail.epistemic
    np.testing.assert_allclose(total, main * (1 - main), atol=1e-6)
    for name, seeds in (("lddu", 2), ("lddu_ensemble", 1)):
        half = done.models[f"{name} [epoch chosen on TEST]"]
        best = done.models[f"{name} [epoch and threshold chosen on TEST]"]
        assert half.probs.shape == (seeds, *test.labels.shape)
        np.testing.assert_array_equal(half.thresholds, 0.5)
        np.testing.assert_array_equal(best.probs, half.probs)
        # The best threshold on the test split cannot do worse there than one half.
        pairs = zip(best.scores(test.labels), half.scores(test.labels), strict=True)
        assert all(b["micro_f1"] >= h["micro_f1"] for b, h in pairs)


def test_baselines_do_not_see_test_labels(splits):
    train, valid, test = splits
    unlabelled = take(test, slice(10)).replace(labels=None)
    models = evaluation.of_baselines(train, valid, unlabelled)
    assert list(models) == ["prior", "logistic", "forest"]
    assert all(model.probs.shape == (1, 10, 4) for model in models.values())
    few = evaluation.of_baselines(train, valid, unlabelled, trained=False)
    assert list(few) == ["prior"]
    np.testing.assert_array_equal(few["prior"].probs, models["prior"].probs)


def test_each_run_gets_its_own_shared_threshold():
    labels = np.array([[1, 0], [0, 1]])
    sure = np.where(labels == 1, 0.9, 0.8)  # any threshold between the two decides rightly
    doubtful = np.where(labels == 1, 0.2, 0.1)
    decided = evaluation.at_shared_thresholds(
        np.stack([sure, doubtful]), labels, np.ones((2, 3, 2))
    )
    assert decided.thresholds.shape == (2, 2)
    assert (decided.thresholds[:, 0] == decided.thresholds[:, 1]).all()
    assert 0.8 < decided.thresholds[0, 0] <= 0.9
    assert 0.1 < decided.thresholds[1, 0] <= 0.2
