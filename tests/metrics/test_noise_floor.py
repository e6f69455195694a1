import numpy as np
import pytest
from scipy import stats

from lddu import metrics
from lddu.metrics import ece_noise_floor


def binomial_gap(n, p):
    """E |Binomial(n, p) / n - p|."""
    k = np.arange(n + 1)
    return np.sum(stats.binom.pmf(k, n, p) * np.abs(k / n - p))


@pytest.mark.parametrize(("n", "p"), [(5, 0.5), (40, 0.1), (200, 0.93)])
def test_one_bin_has_the_mean_and_quantiles_of_a_binomial(n, p):
    floor = ece_noise_floor(np.full((n, 1), p), draws=4000, quantiles=(0.5, 0.9))
    # Within 6.5 standard errors; a quantile of 4000 draws lies within 0.0079 of its level.
    error = np.std(floor.samples) / np.sqrt(4000)
    assert floor.mean == pytest.approx(binomial_gap(n, p), abs=6.5 * error)
    k = np.arange(n + 1)
    gaps, chance = np.abs(k / n - p), stats.binom.pmf(k, n, p)
    for q, value in zip((0.5, 0.9), floor.quantiles, strict=True):
        assert chance[gaps <= value + 1e-9].sum() >= q - 0.052
        assert chance[gaps < value - 1e-9].sum() <= q + 0.052


def test_bins_add_up_by_their_counts_and_labels_are_averaged():
    probs = np.repeat([0.1, 0.5, 0.8], [20, 50, 30])
    two = np.stack([probs, np.full(100, 0.5)], axis=1)
    want = [0.2 * binomial_gap(20, 0.1) + 0.5 * binomial_gap(50, 0.5) + 0.3 * binomial_gap(30, 0.8)]
    want.append(binomial_gap(100, 0.5))
    each = ece_noise_floor(two, bins=10, average="none", draws=2000)
    error = each.samples.std(0) / np.sqrt(2000)
    assert np.all(np.abs(each.mean - want) <= 6.5 * error)
    assert (each.quantiles.shape, each.samples.shape) == ((3, 2), (2000, 2))
    macro = ece_noise_floor(two, bins=10, average="macro", draws=2000)
    np.testing.assert_allclose(macro.samples, each.samples.mean(1))
    assert macro.mean == pytest.approx(each.mean.mean())
    pooled = ece_noise_floor(two, bins=10, draws=2000)
    assert type(pooled.mean) is float
    assert pooled.mean < macro.mean  # more entries in its bins


def test_bins_of_equal_mass_split_what_lies_close_together():
    probs = np.repeat([0.01, 0.02, 0.03, 0.04], 50)[:, None]
    wide = ece_noise_floor(probs, bins=4, draws=2000)
    fine = ece_noise_floor(probs, bins=4, binning="mass", draws=2000)
    want = np.mean([binomial_gap(50, p) for p in (0.01, 0.02, 0.03, 0.04)])
    assert fine.mean == pytest.approx(want, abs=6.5 * fine.samples.std() / np.sqrt(2000))
    assert fine.mean > 1.5 * wide.mean  # four gaps against one of four times the entries: 2


@pytest.mark.parametrize("binning", ["width", "mass"])
@pytest.mark.parametrize("average", ["pooled", "macro"])
def test_calibrated_labels_have_this_ece_and_others_exceed_it(average, binning):
    rng = np.random.default_rng(0)
    probs = rng.beta(0.5, 1.5, size=(150, 3))
    options = {"average": average, "binning": binning, "bins": 8}
    floor = ece_noise_floor(probs, draws=400, seed=1, **options)
    errors = [metrics.ece(probs, rng.random(probs.shape) < probs, **options) for _ in range(400)]
    assert stats.ks_2samp(errors, floor.samples).pvalue > 1e-9
    assert np.all(np.diff(floor.quantiles) > 0)
    assert metrics.ece(probs, rng.random(probs.shape) < probs**2, **options) > floor.quantiles[-1]


def test_it_falls_with_the_root_of_n_is_zero_when_sure_and_reproducible():
    rng = np.random.default_rng(0)
    probs = rng.random((100, 2))
    few, many = (ece_noise_floor(np.tile(probs, (k, 1)), draws=300) for k in (1, 16))
    error = np.hypot(few.samples.std() / 4, many.samples.std()) / np.sqrt(300)
    assert many.mean == pytest.approx(few.mean / 4, abs=6.5 * error + 0.01 * many.mean)
    assert ece_noise_floor(np.round(probs), draws=5).mean == 0
    same = [ece_noise_floor(probs, draws=5, seed=3).samples for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_equal_rows_of_a_group_count_once():
    # Every group's 5 rows get one label, so that the floor is that of the 20 groups.
    groups = np.repeat(np.arange(20), 5)
    floor = ece_noise_floor(np.full((100, 1), 0.3), draws=2000, groups=groups)
    error = floor.samples.std() / np.sqrt(2000)
    assert floor.mean == pytest.approx(binomial_gap(20, 0.3), abs=6.5 * error)
    alone = ece_noise_floor(np.full((100, 1), 0.3), draws=50, groups=groups * 0 + np.arange(100))
    np.testing.assert_array_equal(
        alone.samples, ece_noise_floor(np.full((100, 1), 0.3), draws=50).samples
    )


def test_no_dependence_within_groups_exceeds_the_floor_of_groups():
    # Labels from a Gaussian copula, from independent to fully dependent.
    rng = np.random.default_rng(0)
    probs = rng.random((120, 2))
    groups = np.repeat(np.arange(12), 10)
    floor = ece_noise_floor(probs, draws=2000, groups=groups)
    means = []
    for share in (0.0, 0.5, 0.9, 1.0):
        own = rng.normal(size=(2000, 120, 2)) * np.sqrt(1 - share)
        latent = own + rng.normal(size=(2000, 12, 2))[:, groups] * np.sqrt(share)
        errors = [metrics.ece(probs, y) for y in stats.norm.cdf(latent) < probs]
        means.append(np.mean(errors))
    error = np.sqrt(2) * floor.samples.std() / np.sqrt(2000)
    assert max(means) <= floor.mean + 6.5 * error
    assert means[-1] == pytest.approx(floor.mean, abs=6.5 * error)
    assert means[0] < floor.mean - 10 * error


@pytest.mark.parametrize(
    ("probs", "options", "message"),
    [
        ([[0.5, 1.5]], {}, r"probs \(1, 2\) must lie in \[0, 1\]"),
        ([0.5], {}, r"probs has shape \(1,\), must be \(samples, labels\)"),
        ([[0.5]], {"draws": 0}, "draws=0 must be at least 1"),
        ([[0.5]], {"quantiles": (5, 95)}, r"quantiles=\(5, 95\) must be .* \[0, 1\]"),
        ([[0.5]], {"quantiles": 0.5}, "quantiles=0.5 must be a sequence"),
        ([[0.5]], {"groups": [1, 2]}, r"groups has shape \(2,\)"),
        ([[0.5]], {"average": "micro"}, "average='micro'; choose one of 'pooled'"),
    ],
)
def test_bad_input(probs, options, message):
    with pytest.raises(ValueError, match=message):
        ece_noise_floor(probs, **options)
