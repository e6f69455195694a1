import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import rel_entr, softmax

from lddu.losses import spread_calibration

RNG = np.random.default_rng(0)
SPREAD = RNG.uniform(0, 2, (6, 3)).astype(np.float32)
ERROR = RNG.uniform(0, 1, (6, 3)).astype(np.float32)
ROWS = np.array([1, 0, 1, 1, 0, 1], bool)

run = jax.jit(spread_calibration)
slopes = jax.jit(
    jax.grad(lambda s, e, where: spread_calibration(s, e, where).sum(), argnums=(0, 1))
)
arrays = hnp.arrays(np.float32, (6, 3), elements=st.floats(0, 5, width=32))


def reference(spread, error):
    p, q = (softmax(x.astype(np.float64), axis=0) for x in (spread, error))
    return (rel_entr(p, q) + rel_entr(q, p)).sum(0)


@given(spread=arrays, error=arrays)
@settings(max_examples=25)
def test_equals_scipy(spread, error):
    got = run(spread, error)
    assert got.shape == (3,)
    assert (got >= -1e-5).all()
    np.testing.assert_allclose(got, reference(spread, error), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(run(error, spread), got, rtol=1e-3, atol=1e-5)


def test_by_hand():
    # Softmaxes (1/2, 1/2) and (1/4, 3/4): (1/4) ln 2 + (1/4) ln (3/2) = (1/4) ln 3.
    got = run(np.zeros((2, 1), np.float32), np.log(np.float32([[1.0], [3.0]])))
    np.testing.assert_allclose(got, [0.25 * np.log(3)], rtol=1e-5)


def test_shift_invariant_and_zero_when_they_agree():
    np.testing.assert_allclose(run(SPREAD + 3, ERROR - 1), run(SPREAD, ERROR), rtol=1e-3)
    np.testing.assert_allclose(run(ERROR + 2, ERROR), 0, atol=1e-5)


@pytest.mark.parametrize("filler", [0.0, np.nan, np.inf, 1e30])
def test_masked_equals_subset(filler):
    spread, error = (np.where(ROWS[:, None], x, np.float32(filler)) for x in (SPREAD, ERROR))
    want = run(SPREAD[ROWS], ERROR[ROWS])
    np.testing.assert_allclose(run(spread, error, ROWS), want, rtol=1e-4)
    slope, _ = slopes(spread, error, ROWS)
    want, _ = slopes(SPREAD[ROWS], ERROR[ROWS], np.ones(4, bool))
    np.testing.assert_allclose(slope[ROWS], want, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(slope[~ROWS], 0)


def test_mask_per_label():
    where = np.stack([ROWS, ~ROWS, np.ones(6, bool)], 1)
    got = run(SPREAD, ERROR, where)
    for c in range(3):
        rows = where[:, c]
        want = reference(SPREAD[rows][:, c : c + 1], ERROR[rows][:, c : c + 1])
        np.testing.assert_allclose(got[c], want[0], rtol=1e-4)


def test_takes_float64_numpy():
    got = run(SPREAD, ERROR, ROWS)
    eager = spread_calibration(SPREAD.astype(np.float64), ERROR.astype(np.float64), ROWS)
    np.testing.assert_allclose(eager, got, rtol=1e-4)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare_gives_zero(count):
    where = np.arange(6) < count
    np.testing.assert_array_equal(run(SPREAD, ERROR, where), 0)
    assert all((g == 0).all() for g in slopes(SPREAD, ERROR, where))


def test_no_gradient_reaches_the_error():
    spread, error = slopes(SPREAD, ERROR, np.ones(6, bool))
    np.testing.assert_array_equal(error, 0)
    assert (spread != 0).all()


def test_gradient_equals_finite_differences_of_the_reference():
    slope, _ = slopes(SPREAD, ERROR, np.ones(6, bool))
    step = np.zeros((6, 3))
    step[2, 1] = 1e-4
    wide = SPREAD.astype(np.float64)
    want = (reference(wide + step, ERROR) - reference(wide - step, ERROR)).sum() / 2e-4
    np.testing.assert_allclose(slope[2, 1], want, rtol=1e-2)


def test_extremes_are_finite():
    spread = np.float32([[1e4], [0.0], [-1e4]])
    error = np.float32([[0.0], [1.0], [0.5]])
    assert np.isfinite(run(spread, error)).all()
    assert np.isfinite(slopes(spread, error, np.ones(3, bool))[0]).all()
