import dataclasses
from typing import get_args

import chex
import numpy as np
import pytest
import scipy.special

import lddu
from lddu import UnknownLabelWarning, config, metrics
from lddu.calibration import CALIBRATORS, Temperature, apply, choose, fit_isotonic
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.data.batching import take
from lddu.data.corruptions import subset
from lddu.predictor import network
from lddu.predictor.combination import mean_logits

SIZE = 40
every = pytest.mark.parametrize("method", get_args(config.CalibrationMethod))


@pytest.fixture(scope="module")
def logits(toy_members):
    """(40, 2) uncalibrated logits of the ensemble."""
    return np.asarray(mean_logits(toy_members.logits))


def calibrated(toy, valid, method, members=None, **changes):
    settings = {f"calibration.{name}": value for name, value in changes.items()}
    changed = config.replace(toy.config, {"calibration.method": method, **settings})
    if members is None:
        members = toy.members(valid, batch_size=SIZE)
    return lddu.calibrate(dataclasses.replace(toy, config=changed), valid, members=members)


def nll(predictor, data, members, calibrated=True):
    return metrics.nll(predictor.combine(members, calibrated=calibrated).probs, data.labels)


@pytest.mark.parametrize(
    ("method", "shape"), [("temperature", ()), ("temperature_per_label", (2,))]
)
@pytest.mark.parametrize("anchor", ["base_rate", "half"])
def test_calibration_mends_overconfidence(fitted, toy_data, toy_members, method, shape, anchor):
    predictor = fitted(method, anchor=anchor)
    assert predictor.calibrator.temperature.shape == shape
    rate = predictor.base_rate
    want = scipy.special.logit(rate) if anchor == "base_rate" else np.zeros(2)
    np.testing.assert_allclose(predictor.calibrator.anchor, want, atol=1e-5)
    before = nll(predictor, toy_data, toy_members, calibrated=False)
    assert nll(predictor, toy_data, toy_members) < before


def test_calibration_takes_one_pass_and_fits_what_predict_gives(toy, toy_data, monkeypatch):
    calls, compiled = [], network.compiled_forward

    def counting(*key):
        def forward(*args):
            calls.append(args)
            return compiled(*key)(*args)

        return forward

    with monkeypatch.context() as patch:
        patch.setattr(network, "compiled_forward", counting)
        again = lddu.calibrate(toy, toy_data)
    assert len(calls) == 1
    assert isinstance(again.calibrator, Temperature)
    assert again.params is toy.params
    probs = again.predict(toy_data).probs  # of the same shape, so of the same bits
    np.testing.assert_array_equal(again.shared_threshold, fit_shared(probs, toy_data.labels))
    want = fit_per_label(probs, toy_data.labels, fallback=float(again.shared_threshold))
    np.testing.assert_array_equal(again.label_thresholds, want)


def test_with_members_no_pass_is_made_and_the_result_is_the_same(toy, toy_data, monkeypatch):
    members = toy.members(toy_data)
    want = lddu.calibrate(toy, toy_data)
    monkeypatch.setattr(network, "compiled_forward", None)  # would fail if it were called
    got = lddu.calibrate(toy, toy_data, members=members)
    for name in ("calibrator", "shared_threshold", "label_thresholds"):
        chex.assert_trees_all_equal(getattr(got, name), getattr(want, name))


def test_members_of_other_rows_are_an_error(toy, toy_data, toy_members):
    with pytest.raises(ValueError, match=r"\(3, 40, 2\), must be \(K, 7, 2\): pass predictor.mem"):
        lddu.calibrate(toy, take(toy_data, slice(7)), members=toy_members)


def test_per_label_is_no_worse_than_shared_on_its_own_data(fitted, toy_data, toy_members):
    shared, each = (
        nll(fitted(m), toy_data, toy_members) for m in ("temperature", "temperature_per_label")
    )
    assert each <= shared + 1e-5


def test_calibration_none_changes_nothing(fitted, small, toy_members):
    none = fitted("none")
    want = none.combine(toy_members, calibrated=False)
    chex.assert_trees_all_equal(none.combine(toy_members), want)
    assert np.abs(want.probs - small.combine(toy_members).probs).max() > 0.01


def test_shrinkage_pulls_the_temperature_to_one(fitted):
    free, pulled = (
        abs(np.log(fitted("temperature", shrinkage=s).calibrator.temperature)) for s in (None, 1e6)
    )
    assert free > 0.05
    assert pulled < 1e-3


@every
def test_thresholds_follow_every_calibrator(fitted, toy_data, toy_members, method):
    predictor = fitted(method)
    prediction = predictor.combine(toy_members)
    shared = fit_shared(prediction.probs, toy_data.labels)
    np.testing.assert_array_equal(predictor.shared_threshold, shared)
    want = fit_per_label(prediction.probs, toy_data.labels, fallback=float(shared))
    np.testing.assert_array_equal(predictor.label_thresholds, want)
    np.testing.assert_array_equal(predictor.decide(prediction), prediction.probs >= want)


@every
def test_every_method_fits_no_worse_on_its_own_data(fitted, toy_data, toy_members, method):
    predictor = fitted(method)
    before = nll(predictor, toy_data, toy_members, calibrated=False)
    # Isotonic pays for its pseudo-samples and the bound on its slope.
    allowed = 0.1 if method == "isotonic" else 1e-5
    assert nll(predictor, toy_data, toy_members) <= before + allowed


@pytest.mark.parametrize("method", ["temperature_per_label", "platt", "vector", "beta", "matrix"])
def test_shrinkage_pulls_every_parametric_method_to_changing_nothing(fitted, toy_members, method):
    raw = fitted(method).combine(toy_members, calibrated=False).probs
    pulled = fitted(method, shrinkage=1e6).combine(toy_members).probs
    np.testing.assert_allclose(pulled, raw, atol=1e-3)
    assert np.abs(fitted(method).combine(toy_members).probs - raw).max() > 0.01


@pytest.mark.parametrize("method", ["platt", "vector", "beta", "isotonic", "matrix"])
def test_methods_fit_as_the_registry_by_default(fitted, toy_data, toy_members, logits, method):
    want = CALIBRATORS[method](logits, toy_data.labels, weights=toy_members.seen)
    chex.assert_trees_all_close(fitted(method).calibrator, want, rtol=1e-4, atol=1e-5)


def test_choose_keeps_the_scores_of_all_candidates(fitted, toy_data, toy_members, logits):
    predictor = fitted("choose")
    scores = predictor.choice.scores
    assert [s.name for s in scores] == list(CALIBRATORS)
    assert predictor.choice.state is predictor.calibrator
    alone = fitted(predictor.choice.name).calibrator
    chex.assert_trees_all_close(predictor.calibrator, alone, rtol=1e-3, atol=1e-4)
    assert fitted("platt").choice is None
    none = dataclasses.replace(predictor, config=fitted("none").config)
    assert lddu.calibrate(none, toy_data, members=toy_members).choice is None  # not a stale one
    seen = toy_members.seen
    want = choose(logits[seen], toy_data.labels[seen], ["none", "vector"]).scores
    got = {s.name: s.nll for s in scores}
    assert [got[s.name] for s in want] == pytest.approx([s.nll for s in want], abs=1e-5)
    # Temperatures take part with the anchor of the configuration, not at one half.
    half = fitted("choose", anchor="half").choice.scores
    differ = {s.name for s, h in zip(scores, half, strict=True) if abs(s.nll - h.nll) > 1e-4}
    assert differ == {"temperature", "temperature_per_label"}


def test_choose_keeps_groups_together(fitted, toy_data, toy_members, logits):
    groups, chosen, seen = np.arange(40) // 5, fitted("choose"), toy_members.seen
    predictor = lddu.calibrate(chosen, toy_data, groups, members=toy_members)
    want = choose(
        logits[seen], toy_data.labels[seen], ["none", "isotonic"], groups=groups[seen]
    ).scores
    got = {s.name: (s.nll, s.standard_error) for s in predictor.choice.scores}
    for s in want:
        assert got[s.name] == pytest.approx((s.nll, s.standard_error), abs=1e-5)
    ungrouped = {s.name: s.nll for s in chosen.choice.scores}
    assert abs(got["isotonic"][0] - ungrouped["isotonic"]) > 1e-4
    with pytest.raises(ValueError, match=r"groups has shape \(7,\), .* row of valid, \(40,\)"):
        lddu.calibrate(chosen, toy_data, np.arange(7), members=toy_members)
    with pytest.raises(ValueError, match=r"folds=5 .* groups .* 2"):
        lddu.calibrate(chosen, toy_data, np.arange(40) // 20, members=toy_members)


def test_rows_without_any_input_do_not_count(toy, toy_data):
    present = {name: p & (np.arange(40) >= 15) for name, p in toy_data.present.items()}
    valid = toy_data.replace(present=present)
    members = toy.members(valid, batch_size=SIZE)
    logits = np.asarray(mean_logits(members.logits))
    got = calibrated(toy, valid, "isotonic", members).calibrator
    chex.assert_trees_all_close(
        apply(got, logits),
        apply(fit_isotonic(logits[15:], valid.labels[15:]), logits),
        rtol=1e-4,
        atol=1e-5,
    )
    everyone = fit_isotonic(logits, valid.labels)
    assert np.abs(apply(got, logits) - apply(everyone, logits)).max() > 0.01


def test_without_any_input_nothing_can_be_fitted(toy, toy_data):
    nothing = subset(toy_data, [])
    members = toy.members(nothing, batch_size=SIZE)
    for method in ("temperature", "platt", "isotonic", "choose"):
        with pytest.raises(ValueError, match=f"no row .* any input .*method='{method}'"):
            calibrated(toy, nothing, method, members)
    probs = calibrated(toy, nothing, "none", members).combine(members).probs
    np.testing.assert_allclose(probs, np.tile(toy.base_rate, (40, 1)), atol=1e-5)


@pytest.mark.parametrize("method", ["vector", "choose"])
def test_weights_unknown_and_soft_labels_reach_every_fit(
    toy, toy_data, toy_members, logits, method
):
    labels = 0.1 + 0.8 * toy_data.labels
    labels[:15, 0] = np.nan
    weight = np.arange(40) % 3
    valid = toy_data.replace(labels=labels, weight=weight)
    got = calibrated(toy, valid, method, toy_members)
    if method == "vector":
        want = CALIBRATORS["vector"](logits, labels, weights=weight * toy_members.seen)
        chex.assert_trees_all_close(got.calibrator, want, rtol=1e-4, atol=1e-5)
    else:
        weights = weight * toy_members.seen
        want = choose(logits, labels, ["none", "vector"], weights=weights).scores
        scores = {s.name: (s.nll, s.standard_error) for s in got.choice.scores}
        for s in want:
            assert scores[s.name] == pytest.approx((s.nll, s.standard_error), abs=1e-5)
    probs = got.combine(toy_members).probs
    shared = fit_shared(probs, labels, weights=weight)
    np.testing.assert_array_equal(got.shared_threshold, shared)
    want = fit_per_label(probs, labels, fallback=float(shared), weights=weight)
    np.testing.assert_array_equal(got.label_thresholds, want)


def test_a_label_that_nobody_knows_has_the_shared_threshold_and_one_warning(
    toy, toy_data, toy_members
):
    labels = np.where([False, True], np.nan, toy_data.labels)
    with pytest.warns(UnknownLabelWarning, match="in column 1: ") as record:
        got = calibrated(toy, toy_data.replace(labels=labels), "vector", toy_members)
    assert len(record) == 1
    assert (got.calibrator.slope[1], got.calibrator.bias[1]) == (1, 0)
    assert got.label_thresholds[1] == got.shared_threshold


def test_labels_that_are_absent_or_all_unknown_are_refused(toy, toy_data):
    with pytest.raises(ValueError, match="no labels"):
        lddu.calibrate(toy, toy_data.replace(labels=None))
    first = np.arange(40) < 20
    labels = np.where(first[:, None], toy_data.labels, np.nan)
    with pytest.raises(ValueError, match=r"labels \(40, 2\) are all unknown"):
        lddu.calibrate(toy, toy_data.replace(labels=labels, weight=1.0 * ~first))
