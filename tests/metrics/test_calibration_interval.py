import numpy as np
import pytest
from scipy import stats

from lddu import metrics
from lddu.metrics import ece_interval


def example(n=200, c=2, seed=0, power=1.0):
    rng = np.random.default_rng(seed)
    probs = rng.beta(1, 2, size=(n, c))
    return probs, rng.random((n, c)) < probs**power


def test_one_bin_inverts_the_test_of_a_folded_normal():
    # One bin: |mean residual|, normal with a known standard error for many rows.
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(4000) < 1400)[:, None]
    for prob in (0.35, 0.36, 0.372, 0.5):
        got = ece_interval(np.full((4000, 1), prob), labels, bins=1, draws=40000)
        gap, error = abs(prob - 0.35), np.sqrt(0.35 * 0.65 / 3999)
        square = max(gap**2 - error**2, 0)
        assert got.estimate == pytest.approx(np.sqrt(square), abs=1e-9)

        def chance(size, square=square, error=error):
            # Of a square below the observed one, where the true gap is `size`.
            return stats.ncx2.cdf(square / error**2 + 1, 1, (size / error) ** 2)

        # Within 6.5 standard errors of the share of 20000 independent draws.
        for end, tail in ((got.low, 0.975), (got.high, 0.025)):
            if end > 0:
                assert chance(end) == pytest.approx(tail, abs=6.5 * np.sqrt(0.025 / 20000))
            else:
                assert chance(0.0) < tail + 0.01
        assert (got.replicates, got.method) == (40000, "inversion")


@pytest.mark.parametrize("average", ["pooled", "macro"])
@pytest.mark.parametrize("binning", ["mass", "width"])
def test_it_surrounds_the_debiased_error(average, binning):
    options = {"average": average, "binning": binning, "bins": 6}
    for power in (1.0, 1.5, 3.0):
        probs, labels = example(power=power)
        got = ece_interval(probs, labels, **options)
        assert got.estimate == metrics.ece_debiased(probs, labels, **options)
        assert 0 <= got.low <= got.estimate <= got.high <= 1
        wider = ece_interval(probs, labels, level=0.99, **options)
        assert wider.low <= got.low <= got.high <= wider.high
        # By Jensen, the upper end bounds the mean absolute gap too, where noise is small.
        assert got == ece_interval(probs, labels, **options)
    assert got.low > 0.05


def test_labels_one_by_one_and_repeated():
    probs, labels = example(power=2.0)
    each = ece_interval(probs, labels, bins=5, average="none")
    for c in range(2):
        own = ece_interval(probs[:, [c]], labels[:, [c]], bins=5)
        assert [x[c] for x in each[:4]] == pytest.approx(own[:4])
    # A label that is there twice tells nothing new, pooled or averaged.
    twice = np.hstack([probs[:, :1]] * 2), np.hstack([labels[:, :1]] * 2)
    own = ece_interval(probs[:, :1], labels[:, :1], bins=5, binning="width")
    for average in ("pooled", "macro"):
        got = ece_interval(*twice, bins=5, average=average, binning="width")
        assert got[:3] == pytest.approx(own[:3], abs=0.02)


def test_repeated_rows_tell_nothing_new_if_grouped():
    probs, labels = example(n=80, c=1, power=2.0)
    own = ece_interval(probs, labels, bins=4, binning="width")
    copies = np.repeat(probs, 5, axis=0), np.repeat(labels, 5, axis=0)
    grouped = ece_interval(
        *copies, bins=4, binning="width", groups=np.repeat(np.arange(80), 5).astype(str)
    )
    alone = ece_interval(*copies, bins=4, binning="width")
    assert grouped[:3] == pytest.approx(own[:3], abs=0.02)
    assert alone.high - alone.low < 0.75 * (own.high - own.low)


def test_certain_and_right_is_not_certain_to_stay_so():
    labels = np.arange(40)[:, None] % 2
    got = ece_interval(labels.astype(float), labels)
    assert (got.estimate, got.low) == (0, 0)
    # The interval of a share without a success in 20 reaches to 0.14 (Agresti and Coull) or so.
    assert 0.03 < got.high < 0.3


def test_bins_of_one_group_are_left_out():
    probs, labels = example(n=6, c=1)
    got = ece_interval(probs, labels, bins=6, binning="mass")
    assert np.isnan(got[:3]).all()


@pytest.mark.parametrize(
    ("probs", "options", "message"),
    [
        ([[0.5]], {}, "1 row of 1 rows: an interval needs at least two rows"),
        ([[0.5], [0.5]], {"groups": [1, 1]}, "1 group of 2 rows.*at least two groups"),
        ([[0.5], [0.5]], {"level": 95}, "level=95 must lie strictly between 0 and 1"),
        ([[0.5], [0.5]], {"draws": 0}, "draws=0 must be at least 1"),
        ([[0.5], [0.5]], {"average": "micro"}, "average='micro'; choose one of 'pooled'"),
    ],
)
def test_bad_input(probs, options, message):
    with pytest.raises(ValueError, match=message):
        ece_interval(probs, np.ones(np.shape(probs)), **options)
