"""From members to the calibrated ensemble: every calibrator, members computed beforehand."""

import dataclasses
import functools
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu import config
from lddu.calibration import Identity, Isotonic, Platt, apply
from lddu.data.corruptions import subset
from lddu.predictor import combination, network
from lddu.predictor.combination import mean_logits, member_probs

SIZE = 40
METHODS = get_args(config.CalibrationMethod)
every = pytest.mark.parametrize("method", METHODS)
close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@pytest.fixture
def no_forward_pass(monkeypatch):
    def fail(*args):
        raise AssertionError("a forward pass was made")

    def forbid():
        monkeypatch.setattr(network, "compiled_forward", fail)

    return forbid


@every
def test_members_combined_equal_predict(fitted, toy_data, toy_members, no_forward_pass, method):
    predictor = fitted(method)
    want = predictor.predict(toy_data, batch_size=SIZE)
    uncalibrated = predictor.predict(toy_data, batch_size=SIZE, calibrated=False)
    probs = predictor.member_probs(toy_data, batch_size=SIZE)
    no_forward_pass()
    got = predictor.combine(toy_members)
    close(got, want)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(got))
    close(predictor.combine(toy_members, calibrated=False), uncalibrated)
    close(member_probs(toy_members, predictor.calibrator), probs)


def test_only_the_fields_asked_for_are_kept(toy, toy_data):
    bare = toy.members(toy_data, batch_size=SIZE)
    assert jax.tree.leaves(bare.rest) == []
    assert bare.logits.shape == (3, 40, 2)
    np.testing.assert_array_equal(bare.seen, np.arange(40) > 0)
    kept = toy.members(toy_data, batch_size=SIZE, fields=("weights",))
    want = toy.predict(toy_data, batch_size=SIZE)
    names = {"probs", "logits", "aleatoric", "epistemic", "weights"}
    others = dict.fromkeys(set(network.FIELDS) - names)
    close(toy.combine(kept), want.replace(**others))


def test_one_member_of_several_equals_that_member_alone(toy, toy_data, toy_members):
    for k in range(3):
        got = toy.combine(toy_members.member(k))
        want = toy.member(k).predict(toy_data, batch_size=SIZE)
        for name in ("probs", "logits", "aleatoric", "epistemic"):
            close(getattr(got, name), getattr(want, name))
        assert got.weights is None


@every
def test_every_calibrator_acts_on_the_mean_and_on_each_member(fitted, toy_members, method):
    predictor = fitted(method)
    prediction = predictor.combine(toy_members)
    raw = predictor.combine(toy_members, calibrated=False)
    state, seen = predictor.calibrator, toy_members.seen
    close(prediction.logits[seen], np.asarray(apply(state, raw.logits))[seen])
    members = member_probs(toy_members, state)
    for k in range(3):
        want = scipy.special.expit(apply(state, toy_members.logits[k]))
        close(members[k][seen], np.asarray(want)[seen])
    # The variance of a label of the ensemble's probability, split as the members' variance is.
    share = members.var(0, dtype=float) / scipy.stats.bernoulli(members.mean(0, dtype=float)).var()
    total = scipy.stats.bernoulli(prediction.probs).var()
    np.testing.assert_allclose(prediction.epistemic, share * total, atol=1e-5)
    np.testing.assert_allclose(prediction.aleatoric, (1 - share) * total, atol=1e-5)
    changed = np.abs(prediction.probs - raw.probs).max()
    assert changed > 0.01 if type(state) is not Identity else changed == 0


@every
def test_the_parts_sum_to_the_total_and_one_member_has_no_epistemic_part(
    fitted, toy_members, method
):
    predictor = fitted(method)
    for members in (toy_members, toy_members.member(1)):
        got = predictor.combine(members)
        assert (got.aleatoric >= 0).all()
        assert (got.epistemic >= 0).all()
        want = got.probs.astype(float) * (1 - got.probs.astype(float))
        np.testing.assert_allclose(got.total, want, atol=1e-6)
        np.testing.assert_allclose(got.aleatoric + got.epistemic, want, atol=1e-6)
        assert got.epistemic.any() == (len(members.logits) > 1)


@every
def test_without_any_modality_the_base_rate_remains_under_every_calibrator(
    fitted, toy_data, method
):
    predictor, nothing = fitted(method), subset(toy_data, [])
    members = predictor.members(nothing, batch_size=SIZE)
    rate = predictor.base_rate
    np.testing.assert_allclose(predictor.combine(members).probs, np.tile(rate, (40, 1)), atol=1e-5)
    probs = member_probs(members, predictor.calibrator)
    np.testing.assert_allclose(probs, np.broadcast_to(rate, (3, 40, 2)), atol=1e-5)


def test_states_of_one_kind_share_a_compilation(fitted, toy_members):
    others = {
        "isotonic": Isotonic(jnp.zeros((1, 2)), jnp.ones((1, 2))),  # fewer knots
        "temperature_per_label": fitted("temperature").calibrator,
        "platt": fitted("vector").calibrator,
        "beta": jax.tree.map(lambda x: 1.5 * x, fitted("beta").calibrator),
        "matrix": jax.tree.map(lambda x: 1.5 * x, fitted("matrix").calibrator),
    }

    def compiled(predictor):
        predictor.combine(toy_members)
        member_probs(toy_members, predictor.calibrator)
        return combination._combined._cache_size(), combination._member_probs._cache_size()

    for method, other in others.items():
        before = compiled(fitted(method))
        assert compiled(dataclasses.replace(fitted(method), calibrator=other)) == before
    flat = dataclasses.replace(fitted("isotonic"), calibrator=others["isotonic"])
    np.testing.assert_allclose(flat.combine(toy_members).logits[toy_members.seen], 1)


def test_more_knots_than_usual_are_kept(toy_members):
    knots = np.linspace(-3, 3, 2 * combination._KNOTS)[:, None].repeat(2, 1)
    state = Isotonic(jnp.asarray(knots), jnp.asarray(knots**3))
    shaped = combination.one_shape(state, 2)
    assert len(shaped.knots) == len(knots)
    logits = np.asarray(mean_logits(toy_members.logits))
    close(apply(shaped, logits), apply(state, logits))


def test_a_calibrator_of_other_labels_is_an_error(toy, toy_data, toy_members):
    wrong = dataclasses.replace(toy, calibrator=Platt(jnp.ones(3), jnp.zeros(3)))
    with pytest.raises(ValueError, match="fitted on 3 labels"):
        wrong.predict(toy_data, batch_size=SIZE)
    with pytest.raises(ValueError, match="fitted on 3 labels"):
        wrong.combine(toy_members)


@given(hnp.arrays(np.float32, (3, 4, 2), elements=st.floats(-300, 300, width=32)))
@settings(max_examples=30)
def test_mean_logits_are_the_log_odds_of_the_mean_probability(logits):
    exact = logits.astype(float)
    p, q = (scipy.special.log_expit(sign * exact) for sign in (1, -1))
    want = scipy.special.logsumexp(p, axis=0) - scipy.special.logsumexp(q, axis=0)
    got = np.asarray(mean_logits(logits))
    # Two sums of logarithms of that size are subtracted.
    size = 1 + np.abs(exact).max(0)
    assert (np.abs(got - want) <= 1e-5 * size).all()
