import functools
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lddu import metrics
from lddu.metrics import Difference, Interval, bca, bootstrap, paired_bootstrap


def example(n=60, c=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, c)) < 0.4).astype(int)
    better = 1 / (1 + np.exp(-(rng.normal(size=(n, c)) + 2 * labels - 1)))
    return rng.random((n, c)), better, labels


def widened(level, values, units):
    """The level whose normal quantile is that of t, by the kurtosis of jackknife values (J,)."""
    pull = values.mean() - values
    kurtosis = np.mean(pull**4) / np.mean(pull**2) ** 2
    quantile = stats.t.ppf((1 + level) / 2, min(units - 1, 2 * units / (kurtosis - 1)))
    return 2 * stats.norm.cdf(np.sqrt(units / (units - 1)) * quantile) - 1


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.std])
def test_equals_scipy_to_the_last_replicate(statistic):
    x = np.random.default_rng(0).exponential(size=37)
    got = bootstrap(statistic, x, resamples=400, level=0.9, seed=5)
    jackknife = np.array([statistic(np.delete(x, i)) for i in range(37)])
    want = stats.bootstrap(
        (x,),
        statistic,
        n_resamples=400,
        confidence_level=widened(0.9, jackknife, 37),
        method="BCa",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert got[:4] == pytest.approx((statistic(x), *want, 400))
    assert got.method == "bca"


def test_paired_differences_equal_scipy_on_paired_samples():
    a, b, labels = example()

    def difference(a, b, labels):
        return metrics.brier(b, labels) - metrics.brier(a, labels)

    got = paired_bootstrap(metrics.brier, a, b, labels, resamples=300, seed=1)
    columns = a[:, 0], b[:, 0], labels[:, 0]
    kept = (np.delete(np.arange(60), i) for i in range(60))
    jackknife = np.array([difference(*(x[i][:, None] for x in columns)) for i in kept])
    want = stats.bootstrap(
        columns,
        lambda a, b, y: difference(a[:, None], b[:, None], y[:, None]),
        n_resamples=300,
        confidence_level=widened(0.95, jackknife, 60),
        paired=True,
        vectorized=False,
        method="BCa",
        rng=np.random.default_rng(1),
    )
    one = paired_bootstrap(metrics.brier, a[:, :1], b[:, :1], labels[:, :1], resamples=300, seed=1)
    assert (one.low, one.high) == pytest.approx(tuple(want.confidence_interval))
    # And it is the bootstrap of the difference, in any number of columns.
    assert got[:3] == pytest.approx(bootstrap(difference, a, b, labels, resamples=300, seed=1)[:3])


def test_groups_of_random_parts_have_the_acceleration_of_the_rows():
    # For a mean it is the skewness over 6 sqrt(N), whatever the parts left out.
    x = np.random.default_rng(0).exponential(size=(4000, 300))
    values = x.mean(0)
    parts = np.arange(4000) % 100
    jackknife = np.stack([x[parts != k].mean(0) for k in range(100)])
    known = bca.correction(values, values[None] + np.zeros((2, 1)), jackknife, 4000)
    want = stats.skew(x).mean() / (6 * np.sqrt(4000))
    assert want == pytest.approx(2 / (6 * np.sqrt(4000)), rel=0.1)
    error = known.acceleration.std() / np.sqrt(300)
    assert known.acceleration.mean() == pytest.approx(want, abs=6.5 * error)


@given(st.integers(5, 40), st.floats(-1, 1), st.sampled_from([0.5, 0.8, 0.95]))
@settings(max_examples=30, deadline=None)
def test_the_p_value_is_1_less_the_level_whose_interval_ends_at_0(n, shift, level):
    a = np.random.default_rng(n).exponential(size=(2, n))
    got = paired_bootstrap(np.mean, a[0], a[1] + shift, resamples=199, level=level)
    if abs(got.p_value - (1 - level)) > 0.05:  # replicates are too few to tell the others
        assert (got.low > 0 or got.high < 0) == (got.p_value < 1 - level)


def test_the_p_value_of_differences_without_doubt():
    a = np.random.default_rng(0).normal(size=25)
    assert paired_bootstrap(np.mean, a, a + 1, resamples=199).p_value < 0.02
    got = paired_bootstrap(np.mean, a, a, resamples=199)
    assert got == Difference(0.0, 0.0, 0.0, 1.0, 199, "bca")


# The next three look at many data sets at once, one per column. They share their resamples, so that
# a share of columns has two sources of noise: the number of columns, and that of the resamples.


def column_means(x):
    return x.mean(0)


def share_error(share, columns, resamples):
    """Standard error of a share of columns; of the resamples, by two tails of half the rest."""
    tail = min(share, 1 - share) / 2
    return np.sqrt(share * (1 - share) / columns + 2 * tail * (1 - tail) / resamples)


def test_the_p_value_is_roughly_uniform_without_a_difference():
    a, b = np.random.default_rng(1).normal(size=(2, 50, 1000))
    p_values = paired_bootstrap(column_means, a, b, resamples=999).p_value
    for level in (0.1, 0.5):
        bound = 6.5 * share_error(level, 1000, 999)
        assert np.mean(p_values <= level) == pytest.approx(level, abs=bound)


def test_only_groups_cover_the_truth_when_rows_are_correlated():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(25), 8)
    samples = rng.normal(size=(25, 500))[groups] + 0.3 * rng.normal(size=(200, 500))
    covered = []
    for ids in (groups, None):
        got = bootstrap(column_means, samples, resamples=300, level=0.9, groups=ids)
        covered.append(np.mean((got.low <= 0) & (got.high >= 0)))
    # About 0.9 and 0.45 of the columns, by the standard deviations 0.2 and 0.07 of the mean.
    assert covered[0] > 0.9 - 6.5 * share_error(0.9, 500, 300)
    assert covered[1] < 0.65


def test_groups_are_drawn_whole_and_singletons_are_rows():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    sizes = {"a": 2, "b": 3, "c": 1}

    def metric(ids, rows):
        names, counts = np.unique(ids, return_counts=True)
        assert all(count % sizes[name] == 0 for name, count in zip(names, counts, strict=True))
        drawn = sum(count // sizes[n] for n, count in zip(names, counts, strict=True))
        assert drawn == 3 or (drawn == 2 and len(names) == 2)  # the jackknife leaves one out
        np.testing.assert_array_equal(ids, groups[rows])
        return len(ids)

    found = bootstrap(metric, groups, np.arange(6), groups=groups, resamples=50)
    assert found.low < 6 < found.high
    x = np.random.default_rng(0).normal(size=20)
    assert bootstrap(np.mean, x, groups=np.arange(20)) == bootstrap(np.mean, x)


def test_results_take_the_form_of_the_metric():
    a, b, labels = example()
    row = bootstrap(metrics.summarise, b, labels, resamples=30)
    assert list(row) == list(metrics.summarise(b, labels))
    assert all(isinstance(x, Interval) and type(x.low) is float for x in row.values())
    assert row["nll"][:4] == pytest.approx(bootstrap(metrics.nll, b, labels, resamples=30)[:4])
    each = bootstrap(lambda p, y: metrics.auroc(p, y, "none"), b, labels, resamples=30)
    assert all(x.shape == (3,) for x in each[:4])
    own = bootstrap(lambda p, y: metrics.auroc(p, y), b[:, :1], labels[:, :1], resamples=30)
    np.testing.assert_allclose([x[0] for x in each[:4]], own[:4])
    both = paired_bootstrap(metrics.summarise, a, b, labels, resamples=30)
    alone = paired_bootstrap(metrics.nll, a, b, labels, resamples=30)
    assert both["nll"][:5] == pytest.approx(alone[:5])
    # Of two models that decide alike and surely, one right and one wrong, no resample is unsure.
    right = np.clip(labels, 0.1, 0.9)
    both = paired_bootstrap(metrics.summarise, 1 - right, right, labels, resamples=30)
    assert both["nll"].high < 0 < both["auroc"].low


def test_models_of_several_arrays():
    a, b, labels = example()
    cuts = np.full_like(a, 0.3), np.full_like(b, 0.6)

    def metric(probs, thresholds, labels):
        return metrics.f1(metrics.threshold(probs, thresholds), labels)

    got = paired_bootstrap(metric, (a, cuts[0]), (b, cuts[1]), labels, resamples=20)
    assert got.estimate == pytest.approx(metrics.f1(b > 0.6, labels) - metrics.f1(a > 0.3, labels))


def test_undefined_replicates_are_left_out_and_counted_without_warnings():
    _, probs, labels = example(n=12)
    labels[:, 0] = np.arange(12) == 0  # a third of the resamples have no positive
    labels[:, 1] = 0
    labels[:, 2] = np.arange(12) % 2

    def metric(p, y):
        return metrics.auroc(p, y, "none")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap(metric, probs, labels, resamples=300)
        pair = paired_bootstrap(metric, probs, 1 - probs, labels, resamples=300)
    # A binomial number of resamples, within 6.5 standard deviations.
    share = 1 - (11 / 12) ** 12
    deviation = np.sqrt(300 * share * (1 - share))
    assert found.replicates[0] == pytest.approx(300 * share, abs=6.5 * deviation)
    np.testing.assert_array_equal(found.replicates, pair.replicates)
    np.testing.assert_array_equal(found.replicates[1:], [0, 300])
    for field in (found.estimate, found.low, found.high, pair.p_value):
        np.testing.assert_array_equal(np.isnan(field), [False, True, False])


def test_infinite_replicates_are_left_out_and_counted():
    x = np.array([0.0, 1.0, 2.0])

    def metric(values):
        return np.inf if values.sum() == 0 else values.mean()  # one resample of 27

    got = bootstrap(metric, x, resamples=500)
    drawn = x[np.random.default_rng(0).integers(3, size=(500, 3))].mean(1)
    assert got.replicates == np.count_nonzero(drawn) < 500
    assert drawn[drawn > 0].min() <= got.low < got.high <= drawn.max()


@given(st.integers(2, 15), st.integers(1, 40), st.floats(0.1, 0.95), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_intervals_are_ordered_nested_and_reproducible(n, resamples, level, seed):
    x = np.random.default_rng(seed).normal(size=n)
    found = bootstrap(np.mean, x, resamples=resamples, level=level, seed=seed)
    wider = bootstrap(np.mean, x, resamples=resamples, level=level + 0.04, seed=seed)
    assert x.min() - 1e-12 <= wider.low <= found.low <= found.high <= wider.high <= x.max() + 1e-12
    assert found == bootstrap(np.mean, x, resamples=resamples, level=level, seed=seed)
    # Swapping the models turns the sign and keeps the p-value.
    a, b = x, x[::-1] ** 2
    there = paired_bootstrap(np.mean, a, b, resamples=resamples, seed=seed)
    back = paired_bootstrap(np.mean, b, a, resamples=resamples, seed=seed)
    assert there[:3] == pytest.approx((-back.estimate, -back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)


def test_a_progress_bar_and_jax_arrays_change_nothing(capsys):
    x = np.arange(5, dtype=np.float32)
    assert bootstrap(np.mean, jnp.asarray(x), progress=True) == bootstrap(np.mean, x)
    assert "bootstrap" in capsys.readouterr().err


@pytest.mark.parametrize(
    "metric",
    [
        metrics.ece,
        functools.partial(metrics.mce, bins=5),
        lambda p, y: metrics.ece(p, y, binning="mass"),
        lambda p, y: np.sqrt(metrics.ece_debiased(p, y, squared=True)),
        lambda p, y: metrics.brier_decomposition(p, y).reliability,
        lambda p, y: metrics.ece_interval(p, y, draws=2).estimate,
    ],
)
def test_calibration_errors_are_refused_with_what_to_use(metric):
    a, b, labels = example()
    message = "has no bootstrap interval.*use metrics.ece_interval"
    with pytest.raises(ValueError, match=message):
        bootstrap(metric, a, labels)
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(metric, a, b, labels)


def test_in_a_mapping_only_calibration_errors_have_no_ends():
    a, b, labels = example()
    one = bootstrap(metrics.summarise, a, labels, resamples=20)
    two = paired_bootstrap(metrics.summarise, a, b, labels, resamples=20)
    refused = {"ece", "ece_macro", "ece_adaptive", "ece_debiased"}
    for results in (one, two):
        assert {name for name, x in results.items() if x.method == "none"} == refused
        assert {name for name, x in results.items() if np.isnan(x.low + x.high)} == refused
    assert one["ece"].estimate == metrics.ece(a, labels)
    assert all(np.isnan(two[name].p_value) for name in refused)
    # A score that `summarise` computes beside them is none of them.
    picked = bootstrap(lambda p, y: metrics.summarise(p, y)["nll"], a, labels, resamples=20)
    assert picked[:4] == pytest.approx(one["nll"][:4])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "no arrays given"),
        ((np.zeros(3), np.zeros((2, 3))), {}, r"shapes \(3,\), \(2, 3\), must share the first"),
        ((np.zeros(3), 1.0), {}, r"shapes \(3,\), \(\), must share the first axis"),
        ((np.zeros(0),), {}, "0 row of 0 rows.*at least two rows"),
        ((np.zeros(1),), {}, "1 row of 1 rows.*at least two rows"),
        ((np.zeros(3),), {"groups": [1, 1, 1]}, "1 group of 3 rows.*at least two groups"),
        ((np.zeros(3),), {"groups": [1, 2]}, r"groups has shape \(2,\).*\(3,\)"),
        ((np.zeros(3),), {"groups": [1, 2, np.nan]}, "groups holds NaN"),
        ((np.zeros(3),), {"level": 95}, "level=95 must lie strictly between 0 and 1"),
        ((np.zeros(3),), {"resamples": 0}, "resamples=0 must be at least 1"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda *x: 0.0, *arguments, **options)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda x: None, "metric returned NoneType of shape"),
        (lambda x: np.zeros((2, 2)), r"metric returned ndarray of shape \(2, 2\)"),
        (lambda x: {"a": np.zeros(2)}, r"metric returned dict of shape \(1, 2\)"),
        (lambda x: np.unique(x), r"metric returned shape \(\d,\) after \(9,\)"),
        (lambda x: {str(len(np.unique(x))): 1.0}, r"returned names \('\d',\) after \('9',\)"),
    ],
)
def test_metrics_of_another_form_are_refused(metric, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(metric, np.arange(9))
