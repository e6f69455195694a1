"""Intervals cover the truth as often as they say, for independent rows and for 40 groups.

Each study looks at many simulated data sets with a known truth. Coverage should lie in 93 to 97 %;
bounds are wider by 5 standard errors of the study, so that one of its assertions fails by chance
with a probability below 1e-6. `bootstrap` scores all data sets at once, one per column, which
share their resamples.
"""

import numpy as np
import pytest
from scipy import special

from lddu import metrics

pytestmark = pytest.mark.slow

GROUPS = 40
RESAMPLES = 400


def simulate(rng, rows, sets, groups=0):
    """Draws over-confident probabilities and labels (N, S), and the groups (N,) or None."""
    group = np.repeat(np.arange(groups), rows // groups) if groups else None
    shared = rng.normal(size=(2, groups, sets))[:, group] if groups else np.zeros((2, 1, 1))
    logits = rng.normal(size=(rows, sets)) + 0.6 * shared[0]
    labels = rng.random((rows, sets)) < special.expit(1.2 * logits - 1 + 0.6 * shared[1])
    return special.expit(1.5 * logits - 1), labels, group


def nll(probs, labels):
    return -np.mean(np.where(labels, np.log(probs), np.log1p(-probs)), axis=0)


def brier(probs, labels):
    return np.mean(np.square(probs - labels), axis=0)


def accuracy(probs, labels):  # 1 - Hamming loss, and exact match
    return np.mean((probs >= 0.4) == labels, axis=0)


def sharpness(probs, labels):
    return np.var(probs, axis=0)


def f1(probs, labels):
    return metrics.f1(probs >= 0.4, labels, "none")


def precision(probs, labels):
    return metrics.precision(probs >= 0.4, labels, "none")


def recall(probs, labels):
    return metrics.recall(probs >= 0.4, labels, "none")


def auroc(probs, labels):
    return metrics.auroc(probs, labels, "none")


def average_precision(probs, labels):
    return metrics.average_precision(probs, labels, "none")


def risks(probs, labels):
    """Wrong decisions (N, S) in the order of their uncertainty, which has no ties."""
    order = np.argsort(probs * (1 - probs), axis=0)
    return np.take_along_axis((probs >= 0.4) != labels, order, axis=0)


def selective_mean(wrong):
    return np.mean(np.cumsum(wrong, axis=0) / np.arange(1, len(wrong) + 1)[:, None], axis=0)


def excess_aurc(probs, labels):
    wrong = risks(probs, labels)
    return selective_mean(wrong) - selective_mean(np.sort(wrong, axis=0))


CHEAP = (nll, brier, accuracy, sharpness, f1, precision, recall)
RANKING = (auroc, average_precision, excess_aurc)


def test_the_columns_are_those_of_single_data_sets():
    probs, labels, _ = simulate(np.random.default_rng(0), 50, 3)
    wrong, uncertainty = (probs >= 0.4) != labels, probs * (1 - probs)
    np.testing.assert_allclose(
        excess_aurc(probs, labels), metrics.per_label(metrics.excess_aurc, wrong, uncertainty)
    )
    assert nll(probs, labels).mean() == pytest.approx(metrics.nll(probs, labels))


@pytest.mark.parametrize("groups", [0, GROUPS])
@pytest.mark.parametrize(
    ("scores", "sets"), [(CHEAP, 500), (RANKING, 120)], ids=["means", "ranking"]
)
def test_bootstrap(scores, sets, groups):
    large = simulate(np.random.default_rng(1), 200, 5000, groups)[:2]
    probs, labels, group = simulate(np.random.default_rng(2), 160, sets, groups)
    # Of a share of data sets, and of the quantiles of replicates that they share.
    error = np.sqrt(0.95 * 0.05 / sets + 2 * 0.025 * 0.975 / RESAMPLES)
    for score in scores:
        truth = score(*(x.reshape(-1, 1) for x in large)).item()
        got = metrics.bootstrap(score, probs, labels, resamples=RESAMPLES, groups=group)
        covered = np.mean((got.low <= truth) & (truth <= got.high))
        assert 0.93 - 5 * error <= covered <= 0.97 + 5 * error, score.__name__


def known_nll(probs, labels, weights=None):
    each = np.where(labels == 1, np.log(probs), np.log1p(-probs))
    weights = np.ones(len(probs)) if weights is None else weights
    known = ~np.isnan(labels) * weights[:, None]
    return -np.sum(known * each, axis=0) / np.sum(known, axis=0)


def known_f1(probs, labels, weights=None):
    return metrics.f1(probs >= 0.4, labels, "none", weights=weights)


def known_auroc(probs, labels, weights=None):
    return metrics.auroc(probs, labels, "none", weights=weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_bootstrap_with_unknown_labels(weighted):
    """A third of the labels is unknown, at random, and so are weights."""
    sets = 150
    large = simulate(np.random.default_rng(1), 200, 5000)[:2]
    rng = np.random.default_rng(3)
    probs, labels, _ = simulate(rng, 200, sets)
    labels = np.where(rng.random(labels.shape) < 1 / 3, np.nan, labels)
    weights = rng.gamma(4, size=len(probs)) if weighted else None
    error = np.sqrt(0.95 * 0.05 / sets + 2 * 0.025 * 0.975 / RESAMPLES)
    for score in (known_nll, known_f1, known_auroc):
        truth = score(*(x.reshape(-1, 1) for x in large)).item()
        got = metrics.bootstrap(score, probs, labels, resamples=RESAMPLES, weights=weights)
        covered = np.mean((got.low <= truth) & (truth <= got.high))
        assert 0.93 - 5 * error <= covered <= 0.97 + 5 * error, score.__name__


def true_error(shift, edges):
    """The root mean squared calibration error of beta(1, 3) probabilities between edges."""
    probs = (np.arange(5000) + 0.5) / 5000
    density = 3 * np.square(1 - probs)
    index = np.searchsorted(edges[1:-1], probs, side="right")
    weights = np.bincount(index, density, len(edges) - 1)
    gaps = np.bincount(index, density * (probs - shift(probs)), len(edges) - 1) / weights
    return np.sqrt(np.sum(weights * np.square(gaps)) / weights.sum())


@pytest.mark.parametrize("groups", [0, GROUPS])
@pytest.mark.parametrize(
    "shift", [lambda p: p, lambda p: 0.9 * p, np.sqrt], ids=["true", "a little", "a lot"]
)
def test_ece_interval(shift, groups):
    rows, labels, sets = 320, 3, 150
    covered = 0
    for number in range(sets):
        rng = np.random.default_rng(number)
        latent, noise = rng.normal(size=(2, rows, labels))
        group = None
        if groups:
            group = np.repeat(np.arange(groups), rows // groups)
            shared = rng.normal(size=(2, groups, labels))[:, group]
            latent = np.sqrt(0.5) * (latent + shared[0])
            noise = np.sqrt(0.7) * noise + np.sqrt(0.3) * shared[1]
        probs = 1 - np.cbrt(special.ndtr(-latent))  # beta(1, 3)
        events = special.ndtr(noise) < shift(probs)
        got = metrics.ece_interval(probs, events, bins=10, groups=group, draws=1000)
        truth = true_error(shift, metrics.reliability(probs, events, 10, binning="mass").edges)
        covered += got.low <= truth <= got.high
    # At 0 a sample can only fall off one side.
    upper = 0.97 if truth > 0 else 1.0
    error = np.sqrt(0.95 * 0.05 / sets)
    assert 0.93 - 5 * error <= covered / sets <= upper + 5 * error


def test_ece_interval_with_unknown_labels_and_weights():
    rows, labels, sets = 320, 3, 150
    covered = 0
    for number in range(sets):
        rng = np.random.default_rng(number)
        probs = rng.beta(1, 3, size=(rows, labels))
        events = np.where(
            rng.random(probs.shape) < 0.25, np.nan, rng.random(probs.shape) < 0.8 * probs
        )
        weights = rng.gamma(4, size=rows)
        got = metrics.ece_interval(probs, events, bins=10, draws=1000, weights=weights)
        edges = metrics.reliability(probs, events, 10, binning="mass", weights=weights).edges
        covered += got.low <= true_error(lambda p: 0.8 * p, edges) <= got.high
    error = np.sqrt(0.95 * 0.05 / sets)
    assert 0.93 - 5 * error <= covered / sets <= 0.97 + 5 * error
