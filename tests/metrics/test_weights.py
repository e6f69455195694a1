"""Weights of rows: what each metric promises of them, and scikit-learn with `sample_weight`."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from lddu import UnknownLabelWarning, metrics

AVERAGES = ("pooled", "macro", "none")
BINNINGS = ("width", "mass")


def of_probs(score, *args, **options):
    return lambda p, y, w: score(p, y, *args, weights=w, **options)


def of_decisions(score, *args):
    return lambda p, y, w: score(p >= 0.4, y, *args, weights=w)


def of_risk(score, *args):
    def scored(p, y, w):
        risk, each = metrics.wrong(p >= 0.4, y), None if w is None else np.repeat(w, p.shape[1])
        return score(risk.ravel(), np.ravel(p * (1 - p)), *args, weights=each)

    return scored


def summary(p, y, w):
    row = metrics.summarise(p, y, 0.4, weights=w)
    return {name: x for name, x in row.items() if "aurc" not in name and name != "ece_debiased"}


# A row of whole weight k counts as k rows.
OF_COPIES = {
    "nll": of_probs(metrics.nll),
    "brier": of_probs(metrics.brier),
    "summarise": summary,
    "error_detection": of_risk(metrics.error_detection),
    "per_label": lambda p, y, w: metrics.per_label(
        metrics.error_detection, metrics.wrong(p >= 0.4, y), p * (1 - p), weights=w
    ),
    "exact_match": of_decisions(metrics.exact_match),
    "hamming_loss": of_decisions(metrics.hamming_loss),
    **{f"jaccard {x}": of_decisions(metrics.jaccard, x) for x in ("one", "zero")},
    **{
        f"{score.__name__} {x}": of_decisions(score, x)
        for score in (metrics.precision, metrics.recall, metrics.f1)
        for x in ("micro", "macro", "none")
    },
    **{
        f"{score.__name__} {x}": of_probs(score, x)
        for score in (metrics.auroc, metrics.average_precision)
        for x in ("macro", "none")
    },
    **{
        f"{score.__name__} {x} {b}": of_probs(score, 3, x, b)
        for score in (metrics.ece, metrics.mce, metrics.brier_decomposition)
        for x in AVERAGES
        for b in BINNINGS
    },
    **{
        f"reliability {x} {b}": of_probs(metrics.reliability, 3, x, b)
        for x in (True, False)
        for b in BINNINGS
    },
    **{
        f"sharpness {x}": lambda p, y, w, x=x: metrics.sharpness(p, x, labels=y, weights=w)
        for x in AVERAGES
    },
}


def debiased(average, binning):
    return lambda p, y, w, groups=None: metrics.ece_debiased(
        p, y, 2, average, binning, squared=True, groups=groups, weights=w
    )


def noise_floor(average):
    return lambda p, y, w, groups=None: (
        metrics.ece_noise_floor(p, 3, average, draws=3, groups=groups, labels=y, weights=w).samples
    )


# A row of whole weight k counts as k rows of one group.
OF_GROUPED_COPIES = {
    **{f"ece_debiased {x} {b}": debiased(x, b) for x in AVERAGES for b in BINNINGS},
    **{f"ece_noise_floor {x}": noise_floor(x) for x in AVERAGES},
}


def interval(p, y, w):
    return metrics.ece_interval(p, y, 2, draws=40, weights=w)[:3]


def of_bootstrap(p, y, w):
    return metrics.bootstrap(metrics.brier, p, y, resamples=20, weights=w)[:4]


def of_paired(p, y, w):
    return metrics.paired_bootstrap(metrics.brier, p, p**2, y, resamples=20, weights=w)[:5]


# Only the proportions of weights matter.
OF_IMPORTANCE = {
    "risk_coverage": of_risk(metrics.risk_coverage),
    "aurc": of_risk(metrics.aurc),
    "excess_aurc": of_risk(metrics.excess_aurc),
    "risk_at_coverage": of_risk(metrics.risk_at_coverage, [0.2, 0.5, 1]),
    "ece_interval": interval,
    "bootstrap": of_bootstrap,
    "paired_bootstrap": of_paired,
}
ALL = {**OF_COPIES, **OF_GROUPED_COPIES, **OF_IMPORTANCE}
WITHOUT_WEIGHTS = {"per_sample", "threshold", "wrong"}


@st.composite
def cases(draw, least=1):
    """Few rows with many ties, unknown labels and weights 0 to 3."""
    shape = draw(st.tuples(st.integers(least, 8), st.integers(1, 3)))
    probs = draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 0.2, 0.4, 0.5, 0.9, 1])))
    labels = draw(hnp.arrays(float, shape, elements=st.sampled_from([0, 1, 1, 0, np.nan])))
    weights = draw(hnp.arrays(float, shape[0], elements=st.sampled_from([0, 1, 1, 2, 3])))
    assume(np.any(~np.isnan(labels[weights > 0])))
    assume(np.count_nonzero((weights > 0) & ~np.isnan(labels).all(1)) >= least)
    return probs, labels, weights


def values(result):
    """The numbers of a result, in one row."""
    if isinstance(result, dict):
        result = tuple(result.values())
    parts = result if isinstance(result, tuple) else (result,)
    return np.concatenate([np.ravel(np.asarray(x, float)) for x in parts])


def equal(got, want):
    np.testing.assert_allclose(values(got), values(want), rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def quiet():
    """Labels without a value are part of these cases; their warnings have tests of their own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "macro means leave out", UnknownLabelWarning)
        yield


def test_every_metric_is_here():
    covered = {name.split()[0] for name in ALL}
    public = {name for name in metrics.__all__ if name[0].islower()}
    assert public - WITHOUT_WEIGHTS == covered


@pytest.mark.parametrize("name", OF_COPIES)
@given(case=cases())
@settings(max_examples=8, deadline=None)
def test_whole_weights_are_repeated_rows(name, case):
    probs, labels, weights = case
    copies = np.repeat(np.arange(len(probs)), weights.astype(int))
    got = OF_COPIES[name](probs, labels, weights)
    equal(got, OF_COPIES[name](probs[copies], labels[copies], None))


@pytest.mark.parametrize("name", OF_GROUPED_COPIES)
@given(case=cases())
@settings(max_examples=8, deadline=None)
def test_whole_weights_are_repeated_rows_of_one_group(name, case):
    probs, labels, weights = case
    copies = np.repeat(np.arange(len(probs)), weights.astype(int))
    got = OF_GROUPED_COPIES[name](probs, labels, weights)
    # Grouped, since a group of one row draws one number for each label all the same.
    equal(got, OF_GROUPED_COPIES[name](probs[copies], labels[copies], None, groups=copies))


@pytest.mark.parametrize("name", ALL)
@given(case=cases(least=2), seed=st.integers(0, 9))
@settings(max_examples=4, deadline=None)
def test_rows_of_weight_0_are_absent(name, case, seed):
    probs, labels, weights = case
    weights = weights * np.random.default_rng(seed).uniform(0.5, 2, len(weights))
    kept = weights > 0
    equal(ALL[name](probs, labels, weights), ALL[name](probs[kept], labels[kept], weights[kept]))


@pytest.mark.parametrize("name", ALL)
@given(case=cases(least=2), scale=st.sampled_from([1e-6, 0.1, 3.0, 7e5]))
@settings(max_examples=4, deadline=None)
def test_the_scale_of_weights_does_not_matter(name, case, scale):
    probs, labels, weights = case
    if name in ("ece_interval", "bootstrap", "paired_bootstrap"):
        # Quantiles jump where rounding breaks a tie: a power of 2 does not round.
        scale = 2.0 ** np.round(np.log2(scale))
    want, got = (ALL[name](probs, labels, w) for w in (weights, scale * weights))
    if name.startswith("reliability"):
        equal(got.counts, scale * want.counts)
        got, want = (x._replace(counts=0) for x in (got, want))
    equal(got, want)


@pytest.mark.parametrize("name", ALL)
def test_equal_weights_are_none(name):
    rng = np.random.default_rng(0)
    probs = rng.random((40, 3))
    labels = (rng.random((40, 3)) < probs).astype(float)
    got, want = (values(ALL[name](probs, labels, w)) for w in (np.ones(40), None))
    np.testing.assert_array_equal(got, want)


def example(n=80, c=4, seed=0):
    rng = np.random.default_rng(seed)
    probs = np.round(rng.random((n, c)), 2)
    return probs, (rng.random((n, c)) < probs).astype(int), rng.exponential(size=n)


def test_scores_of_probabilities_equal_scikit_learn():
    probs, labels, weights = example()
    each = np.repeat(weights, 4)
    assert metrics.nll(np.clip(probs, 0.01, 0.99), labels, weights=weights) == pytest.approx(
        sk.log_loss(labels.ravel(), np.clip(probs, 0.01, 0.99).ravel(), sample_weight=each)
    )
    assert metrics.brier(probs, labels, weights=weights) == pytest.approx(
        sk.brier_score_loss(labels.ravel(), probs.ravel(), sample_weight=each)
    )
    for ours, oracle in (
        (metrics.auroc, sk.roc_auc_score),
        (metrics.average_precision, sk.average_precision_score),
    ):
        want = [oracle(labels[:, c], probs[:, c], sample_weight=weights) for c in range(4)]
        np.testing.assert_allclose(ours(probs, labels, "none", weights=weights), want)
        assert ours(probs, labels, weights=weights) == pytest.approx(np.mean(want))
    wrong, uncertainty = labels[:, 0] != (probs[:, 0] > 0.3), probs[:, 0] * (1 - probs[:, 0])
    got = metrics.error_detection(wrong, uncertainty, weights=weights)
    assert got.auroc == pytest.approx(sk.roc_auc_score(wrong, uncertainty, sample_weight=weights))


@pytest.mark.parametrize("average", ["micro", "macro", "none"])
def test_scores_of_decisions_equal_scikit_learn(average):
    probs, labels, weights = example(seed=1)
    decisions = probs > 0.6
    options = {"average": None if average == "none" else average, "zero_division": 0}
    for name in ("precision", "recall", "f1"):
        got = getattr(metrics, name)(decisions, labels, average, weights=weights)
        oracle = getattr(sk, f"{name}_score")
        want = oracle(labels, decisions, sample_weight=weights, **options)
        np.testing.assert_allclose(got, want)
    for ours, oracle in (
        (metrics.hamming_loss, sk.hamming_loss),
        (metrics.exact_match, sk.accuracy_score),
        (
            metrics.jaccard,
            lambda *x, **w: sk.jaccard_score(*x, average="samples", zero_division=1.0, **w),
        ),
    ):
        want = oracle(labels, decisions, sample_weight=weights)
        assert ours(decisions, labels, weights=weights) == pytest.approx(want)


def test_weighted_parts_sum_to_the_weighted_brier_score():
    probs, labels, weights = example(seed=2)
    for average in ("pooled", "macro"):
        parts = metrics.brier_decomposition(probs, labels, 5, average, weights=weights)
        total = parts.reliability - parts.resolution + parts.uncertainty
        total += parts.within_variance - parts.within_covariance
        assert total == pytest.approx(metrics.brier(probs, labels, weights=weights))


@given(case=cases(), times=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_weighted_curve_lies_on_that_of_repeated_entries(case, times):
    probs, labels, weights = case
    risk = metrics.wrong(probs >= 0.4, labels)[:, 0]
    kept = (weights > 0) & ~np.isnan(risk)
    assume(kept.any())
    risk, uncertainty, weights = risk[kept], probs[kept, 0], weights[kept].astype(int)
    # With a sum of a multiple of the number of entries, each point is at a whole copy.
    weights[0] += -weights.sum() % len(weights) + (times - 1) * len(weights)
    step = weights.sum() // len(weights)
    copies = np.repeat(np.arange(len(risk)), weights)
    _, got = metrics.risk_coverage(risk, uncertainty, weights=weights)
    _, want = metrics.risk_coverage(risk[copies], uncertainty[copies])
    np.testing.assert_allclose(got, want[step - 1 :: step])
    assert metrics.aurc(risk, uncertainty, weights=weights) == pytest.approx(got.mean())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2, 3], r"weights has shape \(3,\), must be one weight per row, \(2,\)"),
        ([1, -1], "must be >= 0 and not all 0"),
        ([0, 0], "must be >= 0 and not all 0"),
        ([1, np.nan], "weights .* holds 1 NaN"),
    ],
)
def test_bad_weights(weights, message):
    probs, labels = np.array([[0.2], [0.7]]), np.array([[0], [1]])
    for score in ALL.values():
        with pytest.raises(ValueError, match=message):
            score(probs, labels, np.array(weights))
