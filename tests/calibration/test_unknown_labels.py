"""Unknown labels (NaN) and weights of rows in every calibrator, in float64, and in their choice."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from lddu import UnknownLabelWarning
from lddu.calibration import CALIBRATORS, Isotonic, Platt, apply, choose

ROWS, KNOWN = 20, 14  # one shape each, so that everything is compiled once
SHARED = ("temperature", "platt")
PER_LABEL = ("temperature_per_label", "vector", "beta", "isotonic", "matrix")
COPIES = np.array([0, 1, 1, 2, 0, 1, 3, 0, 1, 1, 1, 2, 0, 1, 1, 0, 1, 2, 1, 1])  # 20 in all
seeds = st.integers(0, 10_000)


def draw(seed):
    """Logits and labels (20, 3); of each label 14, hard or soft, are known."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(ROWS, 3)) * 2
    labels = np.where(rng.random((ROWS, 3)) < expit(logits / 2), rng.choice([0.7, 1], 3), 0.0)
    for c in range(3):
        labels[rng.permutation(ROWS)[KNOWN:], c] = np.nan
    return logits, labels


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", CALIBRATORS)
@given(seeds)
@settings(max_examples=5, deadline=None)
def test_whole_weights_are_copies_and_weight_0_is_absence(name, seed):
    logits, labels = draw(seed)
    weights = np.random.default_rng(seed).permutation(COPIES)
    rows = np.repeat(np.arange(ROWS), weights)
    want = CALIBRATORS[name](logits[rows], labels[rows])
    got = CALIBRATORS[name](logits, labels, weights=weights)
    np.testing.assert_allclose(apply(got, logits), apply(want, logits), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PER_LABEL)
@given(seeds)
@settings(max_examples=5, deadline=None)
def test_a_label_is_fitted_as_on_the_rows_where_it_is_known(name, seed):
    logits, labels = draw(seed)
    got = apply(CALIBRATORS[name](logits, labels), logits)
    for c in range(3):
        rows = ~np.isnan(labels[:, c])
        columns = [0, 1, 2] if name == "matrix" else [c]
        others = labels[rows][:, [c] * len(columns)]
        alone = apply(CALIBRATORS[name](logits[rows][:, columns], others), logits[:, columns])
        np.testing.assert_allclose(got[:, c], alone[:, columns.index(c)], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SHARED)
@given(seeds)
@settings(max_examples=5, deadline=None)
def test_shared_parameters_are_fitted_on_the_known_entries_as_one_label(name, seed):
    logits, labels = draw(seed)
    known = ~np.isnan(labels)
    state = CALIBRATORS[name](logits, labels)
    alone = CALIBRATORS[name](logits[known][:, None], labels[known][:, None])
    for got, want in zip(state, alone, strict=True):
        np.testing.assert_allclose(got, np.broadcast_to(want, np.shape(got)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_a_label_that_nobody_knows_stays_with_one_warning_and_the_others_are_fitted(name):
    logits, labels = draw(0)
    labels[:, 1] = np.nan
    with pytest.warns(UnknownLabelWarning, match=r"labels \(20, 3\) .* in column 1: ") as record:
        state = CALIBRATORS[name](logits, labels)
    assert len(record) == 1
    assert record[0].filename == __file__
    far = logits * 30
    calibrated = apply(state, far)
    if name in SHARED:
        by_hand = CALIBRATORS[name](logits[:, [0, 2]], labels[:, [0, 2]])
        np.testing.assert_allclose(np.ravel(state[0])[0], np.ravel(by_hand[0])[0], rtol=1e-9)
    else:
        np.testing.assert_allclose(calibrated[:, 1], far[:, 1], rtol=1e-12, atol=1e-12)
    if name != "none":
        assert np.abs(calibrated - far)[:, 0].max() > 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_isotonic_identity_is_exact_to_rounding(dtype):
    labels = np.array([[0.0, np.nan], [1.0, np.nan]])
    with pytest.warns(UnknownLabelWarning):
        state = CALIBRATORS["isotonic"](np.array([[-1.0, 0.0], [1.0, 0.0]]), labels)
    state = Isotonic(*(np.asarray(x, dtype) for x in state))
    x = np.geomspace(1e-6, 1e4, 500).astype(dtype)
    x = np.concatenate([-x[::-1], [0], x]).astype(dtype)
    got = apply(state, np.stack([x, x], axis=1))[:, 1]
    np.testing.assert_allclose(got, x, rtol=0, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("fit", [*CALIBRATORS.values(), choose], ids=[*CALIBRATORS, "choose"])
def test_nothing_known_is_an_error_that_says_so(fit):
    logits, labels = draw(0)
    with pytest.raises(ValueError, match=r"labels \(20, 3\) are all unknown \(NaN"):
        fit(logits, labels * np.nan)
    labels[:10] = np.nan
    with pytest.raises(ValueError, match=r"labels \(20, 3\) are all unknown \(NaN"):
        fit(logits, labels, weights=np.arange(20) < 10)


def fit_rates(logits, labels, weights):
    """A candidate without compilation: base rates, whatever the logits."""
    entries = ~np.isnan(labels) * weights[:, None]
    rates = (np.nansum(entries * labels, axis=0) + 1) / (entries.sum(0) + 2)
    return Platt(np.zeros(3), logit(rates))


CANDIDATES = {"rates": fit_rates, "none": CALIBRATORS["none"]}


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_scores_take_whole_weights_as_copies_and_weight_0_as_absence(seed):
    logits, labels = draw(seed)
    weights = np.random.default_rng(seed).permutation(COPIES)
    rows, groups = np.repeat(np.arange(ROWS), weights), np.arange(ROWS) // 2
    weighted = choose(logits, labels, CANDIDATES, 4, groups, weights=weights)
    copied = choose(logits[rows], labels[rows], CANDIDATES, 4, groups[rows])
    for got, want in zip(weighted.scores, copied.scores, strict=True):
        assert got[0] == want[0]
        np.testing.assert_allclose(got[1:], want[1:], rtol=1e-9, atol=1e-12)
    assert weighted.name == copied.name


def test_scores_are_means_over_known_entries_with_errors_by_linearisation():
    logits, labels = draw(3)
    weights, groups = np.random.default_rng(0).random(ROWS) + 0.1, np.arange(ROWS) // 2
    none = choose(logits, labels, CANDIDATES, groups=groups, weights=weights).scores[1]
    known = ~np.isnan(labels)
    entries, y = known * weights[:, None], np.where(known, labels, 0)
    loss = np.logaddexp(0, logits) - y * logits
    assert none.nll == pytest.approx(np.average(loss, weights=entries), rel=1e-9)
    # The jackknife over groups agrees to the order of one over their number.
    left_out = [np.average(loss[groups != g], weights=entries[groups != g]) for g in range(10)]
    jackknife = np.sqrt(9 * np.var(left_out))
    assert none.standard_error == pytest.approx(jackknife, rel=0.3)


def test_choose_warns_once_and_keeps_to_rows_with_a_known_label():
    logits, labels = draw(0)
    labels[:, 2] = np.nan
    labels[:5] = np.nan
    with pytest.warns(UnknownLabelWarning, match="in column 2: ") as record:
        got = choose(logits, labels, ("none", "vector"), seed=1)
    assert len(record) == 1
    with pytest.warns(UnknownLabelWarning):
        want = choose(logits[5:], labels[5:], ("none", "vector"), seed=1)
    assert got.scores == want.scores
    some = np.any(~np.isnan(labels), axis=1).sum()
    message = f"folds=16 .* with known labels, {some}"
    with pytest.warns(UnknownLabelWarning), pytest.raises(ValueError, match=message):
        choose(logits, labels, folds=16)
