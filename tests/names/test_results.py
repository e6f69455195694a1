"""What comes back for named arguments, and what fitted states remember."""

import copy
import pickle

import jax
import numpy as np
import pytest

from lddu import calibration, metrics, uncertainty
from lddu.calibration import CALIBRATORS, conformal, thresholds
from lddu.names.states import Labelled, unlabelled

from .conftest import ROWS

LABELS = ("joy", "fear", "anger")
TURNED = ("anger", "joy", "fear")
TURN = [LABELS.index(name) for name in TURNED]
RNG = np.random.default_rng(1)
PROBS = np.round(RNG.uniform(0.05, 0.95, (len(ROWS), 3)), 3)
LOGITS = np.asarray(calibration.logit(PROBS))
TRUE = (RNG.random(PROBS.shape) < PROBS).astype(int)


def columns(frames, result):
    """Names of the labels of a result, in its order."""
    if frames.indexed and hasattr(result, "iloc"):
        return list(result.columns if result.ndim == 2 else result.index)
    return list(result.columns) if hasattr(result, "columns") else result.label.values.tolist()


def values(result):
    return np.squeeze(np.asarray(result.to_numpy()))


def test_entries_and_scores_of_labels_keep_form_names_and_order(frames):
    probs, labels = frames.table(PROBS[:, TURN], TURNED), frames.table(TRUE, LABELS)
    decisions = metrics.threshold(probs)
    scores = metrics.f1(decisions, labels, "none")
    cuts = thresholds.fit_per_label(probs, labels)
    risks = uncertainty.decision_risk(probs)
    for result in (decisions, scores, cuts, risks):
        assert type(result).__module__.partition(".")[0] == frames.library.__name__
        assert columns(frames, result) == list(TURNED)
    assert type(decisions) is type(probs)
    np.testing.assert_array_equal(values(decisions), (PROBS >= 0.5)[:, TURN])
    np.testing.assert_allclose(values(scores), metrics.f1(PROBS >= 0.5, TRUE, "none")[TURN])
    np.testing.assert_allclose(values(cuts), thresholds.fit_per_label(PROBS, TRUE)[TURN])
    assert type(metrics.f1(decisions, labels)) is float


def test_every_array_of_a_tuple_is_named(frames):
    probs, labels = frames.table(PROBS, LABELS), frames.table(TRUE[:, TURN], TURNED)
    interval = metrics.ece_interval(probs, labels, average="none", draws=20)
    parts = uncertainty.decompose_variance([probs, probs])
    for result in (*interval[:3], *parts):
        assert columns(frames, result) == list(LABELS)
    assert isinstance(interval, metrics.Interval)
    np.testing.assert_array_equal(values(parts.epistemic), np.zeros_like(PROBS))


def test_the_first_argument_with_names_gives_them(frames):
    labels = frames.table(TRUE, LABELS)
    assert columns(frames, metrics.recall(PROBS > 0.5, labels, "none")) == list(LABELS)
    assert isinstance(metrics.recall(PROBS > 0.5, TRUE, "none"), np.ndarray)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_a_calibrator_remembers_its_labels(name, frames):
    fit = CALIBRATORS[name]
    state = fit(frames.table(LOGITS, LABELS), frames.table(TRUE[:, TURN], TURNED))
    plain = fit(LOGITS, TRUE)
    assert isinstance(state, type(plain))
    assert state.label_names == LABELS
    jax.tree.map(np.testing.assert_array_equal, tuple(state), tuple(plain))
    want = np.asarray(calibration.apply(plain, LOGITS))
    turned = calibration.apply(state, frames.table(LOGITS[:, TURN], TURNED))
    assert columns(frames, turned) == list(TURNED)
    np.testing.assert_allclose(values(turned), want[:, TURN], rtol=1e-6)
    np.testing.assert_array_equal(calibration.apply(state, LOGITS), want)
    with pytest.raises(ValueError, match=r"state has \['joy', 'fear', 'anger'\].*'bliss'"):
        calibration.apply(state, frames.table(LOGITS, ("joy", "bliss", "anger")))


def test_names_survive_what_is_done_with_a_state(frames):
    state = calibration.fit_platt(frames.table(LOGITS, LABELS), TRUE, per_label=True)
    plain = unlabelled(state)
    assert type(plain) is calibration.Platt
    for same in (
        copy.deepcopy(state),
        pickle.loads(pickle.dumps(state)),
        jax.tree.map(lambda x: x, state),
        state._replace(bias=state.bias),
        jax.jit(lambda x: x)(state),
    ):
        assert isinstance(same, Labelled)
        assert same.label_names == LABELS
        assert tuple(map(np.ndarray.tolist, map(np.asarray, same))) == tuple(
            map(np.ndarray.tolist, map(np.asarray, plain))
        )
    jitted = jax.jit(calibration.apply)
    np.testing.assert_allclose(jitted(state, LOGITS), jitted(plain, LOGITS), rtol=1e-6)
    assert "label_names=['joy', 'fear', 'anger']" in repr(state)


def test_choice_and_risk_control_remember_their_labels(frames):
    logits, probs, labels = (frames.table(x, LABELS) for x in (LOGITS, PROBS, TRUE))
    choice = calibration.choose(logits, labels, ["none", "platt"], folds=2)
    assert choice.state.label_names == LABELS
    control = conformal.fit_false_negative_rate_per_label(probs, labels, 0.3)
    assert control.label_names == LABELS
    sets = conformal.apply(control, frames.table(PROBS[:, TURN], TURNED))
    want = conformal.apply(unlabelled(control), PROBS)
    assert columns(frames, sets) == list(TURNED)
    np.testing.assert_array_equal(values(sets), want[:, TURN])


def test_per_label_thresholds_of_named_data_are_matched_again(frames):
    probs = frames.table(PROBS, LABELS)
    cuts = thresholds.fit_per_label(probs, TRUE)
    turned = frames.table(PROBS[:, TURN], TURNED)
    if frames.indexed:
        got = values(metrics.threshold(turned, cuts))
        np.testing.assert_array_equal(got, (values(cuts) <= PROBS)[:, TURN])
    scores = [
        metrics.summarise(x, y, {"micro_f1": cuts} if frames.indexed else 0.5)
        for x, y in ((turned, frames.table(TRUE, LABELS)), (probs, TRUE))
    ]
    assert scores[0] == pytest.approx(scores[1])
