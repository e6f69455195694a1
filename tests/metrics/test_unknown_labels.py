"""Labels of NaN are unknown: every metric is that of the entries which are known."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu import UnknownLabelWarning, metrics

UNKNOWN = "no known label"


def of_decisions(score):
    return lambda p, y: score(p >= 0.4, y, "none")


def detection(p, y):
    wrong = metrics.wrong(p >= 0.4, y)
    return metrics.per_label(metrics.error_detection, wrong, p * (1 - p)).auroc


def area(p, y):
    return metrics.per_label(metrics.aurc, metrics.wrong(p >= 0.4, y), p * (1 - p))


PER_LABEL = {
    "ece": lambda p, y: metrics.ece(p, y, 3, "none"),
    "ece of equal mass": lambda p, y: metrics.ece(p, y, 3, "none", "mass"),
    "mce": lambda p, y: metrics.mce(p, y, 3, "none"),
    "ece_debiased": lambda p, y: metrics.ece_debiased(p, y, 2, "none"),
    "ece_interval": lambda p, y: metrics.ece_interval(p, y, 2, "none", draws=20).high,
    "observed": lambda p, y: np.nansum(metrics.reliability(p, y, 3, True).observed, axis=1),
    "resolution": lambda p, y: metrics.brier_decomposition(p, y, 3, "none").resolution,
    "sharpness": lambda p, y: metrics.sharpness(p, "none", labels=y),
    "auroc": lambda p, y: metrics.auroc(p, y, "none"),
    "average_precision": lambda p, y: metrics.average_precision(p, y, "none"),
    "precision": of_decisions(metrics.precision),
    "recall": of_decisions(metrics.recall),
    "f1": of_decisions(metrics.f1),
    "error_detection": detection,
    "aurc": area,
}
# Entries are all alike to these.
POOLED = {
    "nll": metrics.nll,
    "brier": metrics.brier,
    "ece": metrics.ece,
    "ece of equal mass": lambda p, y: metrics.ece(p, y, 4, binning="mass"),
    "uncertainty": lambda p, y: metrics.brier_decomposition(p, y).uncertainty,
    "hamming_loss": lambda p, y: metrics.hamming_loss(p >= 0.4, y),
    "f1": lambda p, y: metrics.f1(p >= 0.4, y),
    "floor": lambda p, y: metrics.ece_noise_floor(p, bins=1, draws=1, labels=np.round(y)).mean > 1,
}


@st.composite
def cases(draw):
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 3)))
    probs = draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 0.2, 0.4, 0.5, 0.9, 1])))
    labels = draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 1, np.nan])))
    assume(not np.isnan(labels).all())
    return probs, labels


@given(cases())
@settings(max_examples=25, deadline=None)
def test_each_label_is_scored_on_its_known_rows(case):
    probs, labels = case
    known = ~np.isnan(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NaN speaks for itself
        for name, score in PER_LABEL.items():
            if name == "ece_interval" and np.count_nonzero(known.any(1)) < 2:
                continue
            got = score(probs, labels)
            for c, rows in enumerate(known.T):
                if name == "ece_interval" and rows.sum() < 2:
                    assert np.isnan(got[c])
                elif rows.any():
                    want = score(probs[rows, c : c + 1], labels[rows, c : c + 1])[0]
                    np.testing.assert_allclose(got[c], want, 1e-6, 1e-9, err_msg=name)
                else:
                    assert name == "observed" or np.isnan(got[c]), name


@given(cases())
@settings(max_examples=25, deadline=None)
def test_pooled_scores_are_those_of_the_known_entries(case):
    probs, labels = case
    known = ~np.isnan(labels)
    for name, score in POOLED.items():
        got, want = score(probs, labels), score(probs[known][:, None], labels[known][:, None])
        assert got == pytest.approx(want, rel=1e-6, abs=1e-9), name


@given(cases())
@settings(max_examples=25, deadline=None)
def test_rows_are_scored_by_their_known_labels(case):
    probs, labels = case
    decisions = probs >= 0.4
    jaccard, match, risks = [], [], []
    for d, y in zip(decisions, labels, strict=True):
        known = ~np.isnan(y)
        if known.any():
            row = d[None, known], y[None, known]
            jaccard.append(metrics.jaccard(*row))
            match.append(metrics.exact_match(*row))
            risks.append(metrics.hamming_loss(*row))
    assert metrics.jaccard(decisions, labels) == pytest.approx(np.mean(jaccard))
    assert metrics.exact_match(decisions, labels) == pytest.approx(np.mean(match))
    risk, uncertainty = metrics.per_sample(metrics.wrong(decisions, labels), probs, "max")
    assert np.isfinite(uncertainty).all()
    np.testing.assert_allclose(risk[~np.isnan(risk)], risks)


def test_uncertainty_of_a_sample_is_that_of_its_known_entries():
    risk = [[1, np.nan], [0, 1], [np.nan, np.nan]]
    for reduce, want in (("mean", [0.3, 0.3]), ("max", [0.3, 0.4])):
        got = metrics.per_sample(risk, [[0.3, 0.9], [0.2, 0.4], [0.1, 0.1]], reduce)
        np.testing.assert_allclose(got[0], [1, 0.5, np.nan])
        np.testing.assert_allclose(got[1][:2], want)


def example():
    rng = np.random.default_rng(0)
    probs = rng.random((60, 5))
    labels = (rng.random((60, 5)) < probs).astype(float)
    labels[:, 1] = np.nan
    labels[:, 3] = 0
    labels[::3, 4] = np.nan
    return probs, labels


MACRO = {
    "ece": lambda p, y: metrics.ece(p, y, average="macro"),
    "mce": lambda p, y: metrics.mce(p, y, average="macro"),
    "ece_debiased": lambda p, y: metrics.ece_debiased(p, y, average="macro", squared=True),
    "brier_decomposition": lambda p, y: metrics.brier_decomposition(p, y, average="macro"),
    "sharpness": lambda p, y: metrics.sharpness(p, "macro", labels=y),
    "f1": lambda p, y: metrics.f1(p >= 0.4, y, "macro"),
    "recall": lambda p, y: metrics.recall(p >= 0.4, y, "macro"),
    "noise floor": lambda p, y: metrics.ece_noise_floor(p, 3, "macro", draws=2, labels=y).mean > 0,
}


@pytest.mark.parametrize("name", MACRO)
def test_macro_means_leave_out_labels_that_nobody_knows_and_say_so(name):
    probs, labels = example()
    known = [0, 2, 3, 4]
    with pytest.warns(
        UnknownLabelWarning, match=r"leave out label columns \(1: no .*known"
    ) as caught:
        got = MACRO[name](probs, labels)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_allclose(got, MACRO[name](probs[:, known], labels[:, known]))


@pytest.mark.parametrize("score", [metrics.auroc, metrics.average_precision])
def test_rankings_leave_out_labels_of_one_class_and_say_so(score):
    probs, labels = example()
    with pytest.warns(
        UnknownLabelWarning, match=r"leave out label columns \(1, 3: not both classes"
    ):
        got = score(probs, labels)
    assert got == pytest.approx(score(probs[:, [0, 2, 4]], labels[:, [0, 2, 4]]))


def test_a_summary_warns_once():
    probs, labels = example()
    message = r"\(1: no known label; 3: not both classes among the known labels \(auroc, map\)\)"
    with pytest.warns(UnknownLabelWarning, match=message) as caught:
        row = metrics.summarise(probs, labels)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isfinite(list(row.values())).all()
    with pytest.warns(UnknownLabelWarning, match=message) as caught:
        metrics.bootstrap(metrics.summarise, probs, labels, resamples=5)
    assert len(caught) == 1


def test_nothing_known_is_an_error_that_says_so():
    probs = np.full((3, 2), 0.4)
    nothing = np.full((3, 2), np.nan)
    scores = [metrics.summarise, metrics.ece_interval, *POOLED.values(), *PER_LABEL.values()]
    for score in scores:
        with pytest.raises(ValueError, match=r"\(3,.*\) holds nothing that is known.*NaN"):
            score(probs, nothing)
    one = nothing.copy()
    one[0] = 1
    with pytest.raises(ValueError, match=r"labels .* in a row of weight > 0"):
        metrics.nll(probs, one, weights=[0, 1, 1])
    with pytest.raises(ValueError, match=r"risk \(3,\) holds nothing that is known"):
        metrics.aurc(nothing[:, 0], probs[:, 0])


def test_resamples_without_known_labels_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    probs, labels = rng.random((12, 1)), np.full((12, 1), np.nan)
    labels[:2, 0] = 0, 1
    got = metrics.bootstrap(metrics.brier, probs, labels, resamples=400)
    # A binomial number of resamples has none of the two, within 6.5 standard deviations.
    share = 1 - (10 / 12) ** 12
    assert got.replicates == pytest.approx(
        400 * share, abs=6.5 * np.sqrt(400 * share * (1 - share))
    )
    ends = np.square(probs[:2] - labels[:2])
    assert ends.min() - 1e-9 <= got.low <= got.high <= ends.max() + 1e-9


def test_the_bootstrap_draws_weights_with_their_rows():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=30), rng.exponential(size=30)

    def mean(x, weights):
        return np.average(x, weights=weights)

    got = metrics.bootstrap(mean, values, resamples=50, weights=weights)
    pairs = metrics.bootstrap(lambda x, w: mean(x, w), values, weights, resamples=50)
    assert got == pairs
    both = metrics.paired_bootstrap(mean, values, values + 1, resamples=50, weights=weights)
    assert both[:3] == pytest.approx((1, 1, 1))


def test_a_score_without_an_estimate_has_no_interval():
    probs, labels = np.random.default_rng(0).random((20, 2)), np.ones((20, 2))
    labels[0] = 0.5  # one soft row, which most resamples of the jackknife lack
    labels[1] = 0
    row = metrics.bootstrap(metrics.summarise, probs, labels, resamples=30)
    assert np.isnan(row["jaccard"][:3]).all()
    assert row["jaccard"].replicates == 0
    assert np.isfinite(row["micro_f1"][:3]).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_exact_expectation_of_the_debiased_error_is_zero_if_calibrated(weighted):
    probs = np.array([[0.1, 0.3], [0.2, 0.6], [0.5, 0.9], [0.7, 0.8]])
    unknown = np.array([[0, 1], [0, 0], [1, 0], [0, 0]], bool)
    weights = np.array([0.5, 3.0, 1.0, 2.0]) if weighted else None
    options = {"bins": 2, "squared": True, "weights": weights}
    mean = 0.0
    for outcome in np.ndindex(*[2] * 8):
        labels = np.reshape(outcome, (4, 2)).astype(float)
        chance = np.prod(np.where(labels, probs, 1 - probs))
        mean += chance * metrics.ece_debiased(probs, np.where(unknown, np.nan, labels), **options)
    assert mean == pytest.approx(0, abs=1e-15)
