"""A predictor and what it is given agree on the names of labels and modalities."""

import dataclasses

import numpy as np
import pytest

import lddu
from lddu.calibration import fit_platt
from lddu.data import adapt
from lddu.names.states import labelled

TURN = [1, 0]


@pytest.fixture
def turned(toy, toy_data):
    """The data with its labels, named, in another order than the model's."""
    names = tuple(toy.labels[c] for c in TURN)
    return toy_data.replace(labels=toy_data.labels[:, TURN], label_names=names)


def test_calibration_takes_labels_in_any_order(small, toy_data, turned):
    want, got = (lddu.calibrate(small, valid) for valid in (toy_data, turned))
    np.testing.assert_array_equal(got.calibrator.temperature, want.calibrator.temperature)
    np.testing.assert_array_equal(got.label_thresholds, want.label_thresholds)


def test_prediction_refuses_labels_in_another_order_since_its_own_follow_the_model(small, turned):
    with pytest.raises(ValueError, match=r"another order; lddu.data.adapt"):
        small.predict(turned)
    adapted = adapt(turned, small.config.model)
    fields = ("probs",)
    np.testing.assert_array_equal(
        small.predict(adapted, fields=fields).probs,
        small.predict(turned.replace(label_names=None), fields=fields).probs,
    )


def test_training_takes_labels_in_any_order(toy, toy_data, turned, monkeypatch):
    seen = {}

    def train_members(config, train, valid, *_):
        seen.update(train=train, valid=valid)
        raise InterruptedError

    monkeypatch.setattr("lddu.training.members.train_members", train_members)
    with pytest.raises(InterruptedError):
        lddu.fit(toy.config, turned, turned)
    for batch in seen.values():
        np.testing.assert_array_equal(batch.labels, toy_data.labels)
        assert batch.label_names is None
    with pytest.raises(ValueError, match=r"different labels: the model has \['a', 'b'\].*'c'"):
        lddu.fit(toy.config, turned.replace(label_names=("a", "c")), turned)


def test_a_modality_that_the_batch_does_not_have_is_absent_where_allowed(small, toy_data):
    without = toy_data.replace(
        modalities={"x": toy_data.modalities["x"]}, present={"x": toy_data.present["x"]}
    )
    with pytest.raises(ValueError, match=r"lacks modalities \['y'\].*missing='allow'"):
        small.predict(without)
    absent = {**toy_data.present, "y": np.zeros(toy_data.size, bool)}
    got = small.predict(adapt(without, small.config.model, missing="allow"))
    want = small.predict(toy_data.replace(present=absent))
    np.testing.assert_allclose(got.probs, want.probs, rtol=1e-5)
    assert not np.asarray(got.weights)[..., 1].any()


def test_a_calibrator_of_other_labels_is_refused(small, toy_data, tmp_path):
    plain = fit_platt(np.ones((4, 2)), np.eye(2)[[0, 1, 0, 1]], per_label=True)
    for names, message in ((("b", "a"), "in the order"), (("a", "c"), "different labels")):
        wrong = dataclasses.replace(small, calibrator=labelled(plain, names))
        with pytest.raises(ValueError, match=message):
            wrong.predict(toy_data)
    right = dataclasses.replace(small, calibrator=labelled(plain, small.labels))
    want = dataclasses.replace(small, calibrator=plain).predict(toy_data).probs
    np.testing.assert_array_equal(right.predict(toy_data).probs, want)
    loaded = lddu.Predictor.load(right.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(toy_data).probs, want)
