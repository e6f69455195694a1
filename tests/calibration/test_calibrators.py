"""What every calibrator must do, over the registry."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, softmax

from lddu.calibration import CALIBRATORS, Calibrator, apply, fit_isotonic, fit_matrix
from lddu.calibration.calibrators import APPLY

SHAPE = 20, 3  # one shape, so that everything is compiled once
jitted = jax.jit(apply)
every = pytest.mark.parametrize("name", CALIBRATORS)


def nll(logits, labels):
    """Sum over samples and labels in float64."""
    logits = np.asarray(logits, np.float64)
    return np.sum(np.logaddexp(0, logits) - labels * logits)


def draw(seed=0, scale=2.0):
    """Over-confident logits, and labels that are informative, of one class and separable."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=SHAPE) * scale).astype(np.float32)
    labels = (rng.random(SHAPE) < expit(logits / 2)).astype(np.float32)
    labels[:, 1], labels[:, 2] = 0, logits[:, 2] > 0.3
    return logits, labels


def slack(name, logits, labels, calibrated):
    """By how much the likelihood of fitted data may get worse; see `fit_isotonic`."""
    if name != "isotonic":
        return 0.0
    steep = apply(fit_isotonic(logits, labels, steepest=np.inf), logits)
    moved = len(logits) * np.abs(steep - calibrated).max(0)
    return np.sum(np.logaddexp(0, -logits.min(0)) + np.logaddexp(0, logits.max(0)) + moved)


@st.composite
def cases(draw):
    """Any logits, ties and extremes included, with hard and soft labels."""
    size = draw(st.sampled_from([0.01, 1.0, 30.0, 1000.0]))
    logits = draw(hnp.arrays(np.float32, SHAPE, elements=st.floats(-1, 1, width=32)))
    labels = draw(hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0, 1, 0.3])))
    return logits * np.float32(size), labels


@every
@given(case=cases())
@settings(max_examples=15, deadline=None)
def test_any_data_have_a_finite_result_that_fits_no_worse_and_keeps_the_ranking(name, case):
    logits, labels = case
    state = CALIBRATORS[name](logits, labels)
    calibrated = np.asarray(apply(state, logits))
    assert all(np.isfinite(leaf).all() for leaf in state)
    assert np.isfinite(calibrated).all()
    before = nll(logits, labels) + slack(name, logits, labels, calibrated)
    assert nll(calibrated, labels) <= before * (1 + 1e-5) + 1e-3
    if name != "matrix":
        in_order = np.take_along_axis(calibrated, np.argsort(logits, axis=0), axis=0)
        rounding = 1e-5 * (1 + np.abs(calibrated).max(0))
        assert np.all(np.diff(in_order, axis=0) >= -rounding)


@every
def test_order_of_rows_does_not_matter(name):
    logits, labels = draw()
    rows = np.random.default_rng(1).permutation(len(logits))
    want = apply(CALIBRATORS[name](logits, labels), logits)
    got = apply(CALIBRATORS[name](logits[rows], labels[rows]), logits)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


@every
def test_a_weight_is_a_number_of_copies(name):
    logits, labels = draw()
    weights = np.array([0, 2, 1, 1] * 5)
    copies = np.repeat(np.arange(20), weights)
    want = apply(CALIBRATORS[name](logits[copies], labels[copies]), logits)
    got = apply(CALIBRATORS[name](logits, labels, weights=weights), logits)
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


@every
def test_application_is_the_same_under_jit_and_has_finite_gradients(name):
    logits, labels = draw()
    state = CALIBRATORS[name](logits, labels)
    want = np.asarray(apply(state, logits))
    np.testing.assert_allclose(jitted(state, logits), want, rtol=1e-5, atol=1e-5)
    far = np.array([-80, -20, 0, 20, 80], np.float32)[:, None] * np.ones(3, np.float32)
    points = np.concatenate([logits[:15], far])
    gradient = jax.grad(lambda x: jitted(state, x).sum())(points)
    assert np.isfinite(gradient).all()


@every
def test_application_takes_any_leading_axes_and_refuses_other_labels(name):
    logits, labels = draw()
    state = CALIBRATORS[name](logits, labels)
    cube = np.asarray(apply(state, logits.reshape(4, 5, 3)))
    np.testing.assert_allclose(cube.reshape(SHAPE), apply(state, logits), rtol=1e-5, atol=1e-6)
    if name != "none":
        with pytest.raises(ValueError, match=r"logits has shape \(4, 2\).*3 labels"):
            apply(state, np.zeros((4, 2)))


@every
def test_bad_data_are_refused(name):
    logits, labels = draw()
    for change, message in [
        ({"labels": labels[:, :2]}, r"logits \(20, 3\), labels \(20, 2\)"),
        ({"labels": labels + 0.5}, r"labels \(20, 3\) must lie in \[0, 1\]"),
        ({"logits": logits * np.nan}, r"logits \(20, 3\) holds 60 NaN"),
        ({"weights": np.ones(3)}, r"weights has shape \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            CALIBRATORS[name](**{"logits": logits, "labels": labels} | change)


@pytest.mark.parametrize("name", [name for name in CALIBRATORS if name != "isotonic"])
def test_fitting_is_the_same_under_jit(name):
    logits, labels = draw()
    labels[:5, 0] = np.nan
    weights = np.arange(20) % 3
    want = CALIBRATORS[name](logits, labels, weights=weights)
    got = jax.jit(CALIBRATORS[name])(logits, labels, weights=weights)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), got, want)


def test_only_matrix_scaling_can_change_which_sample_ranks_first():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=SHAPE).astype(np.float32)
    labels = softmax(5 * logits[:, ::-1], axis=1)  # label 0 follows the logit of label 2
    state = fit_matrix(logits, labels, off_diagonal=0.1)
    assert state.weight[0, 2] > abs(state.weight[0, 0])


def test_every_state_has_its_application_and_others_are_refused():
    logits, labels = draw()
    states = {type(fit(logits, labels)) for fit in CALIBRATORS.values()}
    assert states == set(APPLY) == set(Calibrator.__args__)
    with pytest.raises(ValueError, match="state is a dict, must be one of Identity, Temperature"):
        apply({}, logits)
