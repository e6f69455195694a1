import numpy as np
import pytest

from lddu.calibration import conformal


def test_float32_probabilities_meet_their_own_threshold(simulate, fit_sets):
    probs, labels = simulate(200)
    probs = probs.astype(np.float32)
    state = fit_sets(probs, labels, 0.3)
    exact = conformal.apply(state, probs)
    np.testing.assert_array_equal(exact, probs.astype(np.float64) >= state.threshold)


def test_float32_probabilities_meet_their_own_threshold_by_expected_share(simulate):
    probs, labels = simulate(200)
    probs = probs.astype(np.float32)
    state = conformal.fit_false_negative_rate(probs, labels, 0.3, rank="share")
    shares = conformal.expected_share(probs)
    assert state.threshold in shares[labels]
    np.testing.assert_array_equal(conformal.apply(state, probs), shares >= state.threshold)


def test_fallbacks_include_everything_or_nothing(simulate):
    probs, labels = simulate(5)
    for fit in (
        conformal.fit_false_negative_rate,
        conformal.fit_false_negative_rate_per_label,
    ):
        state = fit(probs, labels, 0.1)
        assert not np.any(state.found)
        assert conformal.apply(state, np.zeros((1, 4))).all()
    for fit in (conformal.fit_precision, conformal.fit_precision_per_label):
        state = fit(probs, labels, 0.9)
        assert not np.any(state.found)
        assert not conformal.apply(state, np.ones((1, 4))).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.ones((4, 3))}, r"probs \(4, 2\), labels \(4, 3\)"),
        ({"probs": np.full((4, 2), np.nan)}, r"probs \(4, 2\) holds 8 NaN"),
        ({"probs": np.full((4, 2), 2.0)}, r"probs \(4, 2\) must lie in \[0, 1\]"),
        ({"labels": np.full((4, 2), 0.5)}, r"labels \(4, 2\) must be 0 or 1.*binarise"),
        ({"labels": np.zeros((4, 2))}, r"labels \(4, 2\) has no positives.*calibrate on more"),
        ({"probs": np.ones(4), "labels": np.ones(4)}, r"probs has shape \(4,\)"),
        ({"level": 0.0}, "level=0.0 must lie strictly between 0 and 1"),
        ({"level": 1.0}, "level=1.0 must lie"),
        ({"level": np.nan}, "level=nan must lie"),
    ],
)
def test_bad_input(fit_sets, change, message):
    arguments = {"probs": np.full((4, 2), 0.5), "labels": np.ones((4, 2)), "level": 0.5}
    with pytest.raises(ValueError, match=message):
        fit_sets(**arguments | change)


def test_bad_input_to_precision_and_apply(simulate):
    probs, labels = simulate(20)
    for fit in (conformal.fit_precision, conformal.fit_precision_per_label):
        with pytest.raises(ValueError, match="confidence=1 must lie strictly"):
            fit(probs, labels, 0.5, 1)
        with pytest.raises(ValueError, match=r"grid \(1,\) must lie in \[0, 1\]"):
            fit(probs, labels, 0.5, grid=[2.0])
        with pytest.raises(ValueError, match=r"grid has shape .*empty"):
            fit(probs, labels, 0.5, grid=[])
    with pytest.raises(ValueError, match="empty='none'; choose one of 'skip', 'zero', 'one'"):
        conformal.fit_precision(probs, labels, 0.5, empty="none")
    with pytest.raises(ValueError, match="empty='one'; choose one of 'skip', 'zero'"):
        conformal.fit_false_negative_rate(probs, labels, 0.5, empty="one")
    state = conformal.fit_precision_per_label(probs, labels, 0.5)
    with pytest.raises(ValueError, match=r"probs has shape \(2, 3\).*4 labels"):
        conformal.apply(state, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"probs .* NaN"):
        conformal.apply(state, np.full((2, 4), np.nan))
