import dataclasses

import numpy as np
import pytest
from scipy.special import expit, logit

from lddu.calibration import Platt, Temperature
from lddu.predictor.network import FIELDS
from lddu.runs import detail
from lddu.runs.detail import Detail


@pytest.fixture(scope="module")
def told(toy, toy_members, toy_inputs):
    """The detail of the toy predictor's 40 samples; do not modify."""
    return detail.of_members(toy, toy_members, toy_inputs)


def test_detail_is_that_of_the_prediction(told, toy, toy_members, toy_inputs):
    prediction = toy.combine(toy_members)
    np.testing.assert_array_equal(told.aleatoric, prediction.aleatoric)
    np.testing.assert_array_equal(told.epistemic, prediction.epistemic)
    np.testing.assert_array_equal(told.observed, toy_inputs.observed(["x", "y"]))
    np.testing.assert_allclose(told.unimodal, expit(prediction.unimodal_logits), rtol=1e-5)
    assert told.neighbours.shape == told.distances.shape == (40, 6)


def test_intervals_hold_the_logit_with_both_uncertainties(told, toy_members):
    rest = toy_members.rest
    half = 1.959964 * np.sqrt(rest.logit_var + rest.logit_disagreement)
    np.testing.assert_allclose(told.low, expit(rest.logit_mean - half), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(told.high, expit(rest.logit_mean + half), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("state", "ends"),
    [
        (Temperature(2.0 * np.ones(2), np.zeros(2)), lambda x: x / 2),
        (Platt(np.array([-1.0, 3.0]), np.array([0.5, 0.0])), lambda x: x * [-1, 3] + [0.5, 0]),
    ],
)
def test_intervals_are_calibrated_where_a_sample_has_input(
    toy, toy_members, toy_inputs, told, state, ends
):
    calibrated = dataclasses.replace(toy, calibrator=state)
    found = detail.of_members(calibrated, toy_members, toy_inputs)
    moved = np.sort([ends(logit(x[1:].astype(float))) for x in (told.low, told.high)], axis=0)
    np.testing.assert_allclose(logit(found.low[1:]), moved[0], rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(logit(found.high[1:]), moved[1], rtol=1e-2, atol=1e-3)
    for name in ("low", "high"):  # the first sample lacks all modalities
        np.testing.assert_array_equal(getattr(found, name)[0], getattr(told, name)[0])
    plain = detail.of_members(calibrated, toy_members, toy_inputs, calibrated=False)
    np.testing.assert_array_equal(plain.low, told.low)


def test_a_model_without_latents_tells_less(toy, toy_members, toy_inputs):
    gate = dict.fromkeys(set(FIELDS))
    members = toy_members._replace(rest=toy_members.rest.replace(**gate))
    found = detail.of_members(toy, members, toy_inputs)
    assert set(found.present()) == {"aleatoric", "epistemic", "observed"}


def test_neighbours_are_not_asked_for_where_they_cost_too_much():
    few, many = detail.MOST_NEIGHBOURS, detail.MOST_NEIGHBOURS + 1
    assert set(detail.fields(few)) - set(detail.fields(many)) == {"fused"}
    assert set(detail.fields(few)) <= set(FIELDS)


def test_detail_is_read_back(told, tmp_path):
    told.save(tmp_path)
    read = Detail.load(tmp_path, 40, 2, 2)
    assert read.present().keys() == told.present().keys()
    for name, array in told.present().items():
        np.testing.assert_allclose(getattr(read, name), array, rtol=1e-6)
    Detail().save(tmp_path)
    assert Detail.load(tmp_path, 40, 2, 2).present() == {}
    assert Detail.load(tmp_path / "elsewhere", 40, 2, 2) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"more": np.zeros(3)},
        {"aleatoric": np.zeros((39, 2))},
        {"aleatoric": np.zeros((40, 2), int)},
        {"aleatoric": np.full((40, 2), np.nan)},
        {"low": np.ones((40, 2)), "high": np.zeros((40, 2))},
        {"low": None},
        {"unimodal": np.zeros((40, 2, 3))},
        {"unimodal": np.full((40, 2, 2), 1.5)},
        {"observed": np.ones((40, 2))},
        {"neighbours": np.full((40, 6), 40)},
        {"neighbours": np.zeros((40, 5), int)},
        {"distances": np.full((40, 6), np.inf)},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_damaged_detail_is_named(told, tmp_path, changes):
    arrays = {k: x for k, x in {**told.present(), **changes}.items() if x is not None}
    np.savez(tmp_path / detail.FILE, **arrays)
    with pytest.raises(ValueError, match=r"detail\.npz is damaged"):
        Detail.load(tmp_path, 40, 2, 2)


def test_folds_are_joined_with_their_own_neighbours(told):
    few = Detail(
        **{k: x[:3] for k, x in told.present().items() if k not in ("neighbours", "distances")},
        neighbours=np.array([[1, 2], [0, 2], [0, 1]], np.int32),
        distances=np.ones((3, 2)),
    )
    joined = detail.pool([few, told, few])
    assert joined.neighbours.shape == joined.distances.shape == (46, 2)
    np.testing.assert_array_equal(joined.neighbours[3:43], told.neighbours[:, :2] + 3)
    np.testing.assert_array_equal(joined.neighbours[43:], few.neighbours + 43)
    np.testing.assert_array_equal(joined.low[3:43], told.low)
    assert detail.pool([few, dataclasses.replace(few, low=None, high=None)]).low is None
