"""The function behind every exported format, and the promise for every calibrator."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lddu
from lddu.calibration import CALIBRATORS, Isotonic, apply, max_slope
from lddu.export import program
from lddu.predictor.combination import combined_fields, mean_logits


def perturbed(members, direction):
    """Members whose logits are off by nearly as much as they may be, in a direction in [-1, 1].

    The log-odds of their mean probability are then off by no more.
    """
    return members._replace(logits=np.float32(members.logits + 0.9e-4 * direction))


def outputs_of(predictor, members):
    """The exported function from the members on, without compilation."""
    return program.outputs(
        predictor, members, members.seen, lambda x: apply(predictor.calibrator, x)
    )


@pytest.fixture(scope="module")
def logits(toy_members):
    return np.asarray(mean_logits(toy_members.logits))


directions = st.sampled_from([-1.0, 1.0]) | st.floats(-1, 1)


@given(st.floats(0.1, 1e4), st.sampled_from([-1, 1]), directions)
@settings(max_examples=25)
def test_steps_of_any_steepness_at_the_models_own_logits(
    toy, toy_inputs, toy_members, logits, staircase, assert_promise, steepness, beside, direction
):
    state = staircase(logits, steepness, beside)
    predictor = dataclasses.replace(toy, calibrator=state)
    assert_promise(outputs_of(predictor, toy_members), predictor, toy_inputs)
    assert_promise(outputs_of(predictor, perturbed(toy_members, direction)), predictor, toy_inputs)


def test_such_steps_do_magnify_rounding(logits, staircase, toy_members):
    # Otherwise the test above would show nothing: one float more changes probabilities by far more.
    state = staircase(logits, 100.0, 1)
    up = np.nextafter(logits, np.float32(np.inf))
    seen = toy_members.seen
    change = np.abs(jax.nn.sigmoid(apply(state, up)) - jax.nn.sigmoid(apply(state, logits)))[seen]
    assert change.max() > 1e-2


@pytest.mark.parametrize("method", list(CALIBRATORS))
@pytest.mark.parametrize("direction", [-1.0, 0.0, 1.0])
def test_every_fitted_calibrator(
    toy, toy_data, toy_inputs, toy_members, logits, assert_promise, method, direction
):
    state = CALIBRATORS[method](logits, toy_data.labels, weights=toy_members.seen)
    predictor = dataclasses.replace(toy, calibrator=state)
    got = outputs_of(predictor, perturbed(toy_members, direction))
    assert_promise(got, predictor, toy_inputs)


@pytest.mark.parametrize("fault", ["logits", "calibrator", "thresholds", "weights"])
def test_what_is_wrong_breaks_the_promise(
    fitted_toy, toy_inputs, toy_members, assert_promise, fault
):
    wrong, members = fitted_toy, toy_members
    if fault == "logits":
        members = members._replace(logits=members.logits + 0.01)
    elif fault == "calibrator":
        knots, values = wrong.calibrator
        wrong = dataclasses.replace(wrong, calibrator=Isotonic(knots, values + 0.01))
    elif fault == "thresholds":
        wrong = dataclasses.replace(wrong, label_thresholds=1 - wrong.label_thresholds)
    else:
        rest = members.rest.replace(weights=members.rest.weights[..., ::-1])
        members = members._replace(rest=rest)
    with pytest.raises(AssertionError):
        assert_promise(outputs_of(wrong, members), fitted_toy, toy_inputs)
    assert_promise(outputs_of(fitted_toy, toy_members), fitted_toy, toy_inputs)


@given(st.floats(-1e-3, 1e-3))
@settings(max_examples=20)
def test_a_fitted_isotonic_map_magnifies_errors_by_its_largest_slope(
    fitted_toy, toy_members, logits, error
):
    state, seen = fitted_toy.calibrator, toy_members.seen
    moved = np.float32(logits + error)
    got, want = (
        np.asarray(combined_fields(x[None], seen, lambda x: apply(state, x))["probs"], float)
        for x in (moved, logits)
    )
    slope = np.maximum(max_slope(state), 1.0)  # rows without input are not calibrated
    off = np.abs(moved.astype(float) - logits)
    # A few floats of rounding in the logits and in the interpolation.
    assert (np.abs(got - want) <= slope / 4 * (off + 1e-6 * (1 + np.abs(logits))) + 1e-6).all()
    spread = logits[seen].std(0, dtype=float)
    assert (max_slope(state) <= 1.001 * 32 / spread).all()


def test_the_function_says_what_the_predictor_says(fitted_toy, toy_inputs, assert_promise):
    run = program.prediction(fitted_toy)
    values = {name: m.values for name, m in toy_inputs.modalities.items()}
    mask = {name: m.mask for name, m in toy_inputs.modalities.items()}
    got = jax.jit(run)(values, mask, toy_inputs.present)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic", *program.OPTIONAL}
    assert_promise(got, fitted_toy, toy_inputs)


def test_thresholds_decide_alike_where_float32_cannot_hold_them():
    exact = np.array([0.1, 0.7])
    assert (exact.astype(np.float32) >= exact).tolist() == [True, False]
    cuts = program.float32_thresholds(exact)
    assert cuts.dtype == np.float32
    assert (cuts >= exact).all()
    assert (np.nextafter(cuts, np.float32(0)) < exact).all()


def test_sizes_are_open_up_to_the_configured_lengths(toy_config):
    batch, times = program.open_sizes(toy_config.model)
    assert len(times) == 2
    assert program.limits(toy_config.model) == ["time_0 <= 5", "time_1 <= 2"]
    assert (times[0] <= 5) is True
    assert not isinstance(batch, int)


def test_the_description(toy):
    described = program.describe(toy, ["cpu"])
    assert described == {
        "labels": ["a", "b"],
        "modalities": [
            {"name": "x", "features": 3, "length": 5},
            {"name": "y", "features": 4, "length": 2},
        ],
        "thresholds": [0.5, 0.5],
        "members": 3,
        "lddu": lddu.__version__,
        "jax": jax.__version__,
        "platforms": ["cpu"],
    }
    assert "platforms" not in program.describe(toy)
