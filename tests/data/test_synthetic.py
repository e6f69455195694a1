import dataclasses
import itertools

import jax
import numpy as np
import pytest
from scipy.special import expit, logit, xlogy
from scipy.stats import multivariate_normal

from lddu.data import synthetic
from lddu.data.synthetic import SyntheticConfig, bayes_posterior, generate

ONE = SyntheticConfig(
    labels=("a", "b"),
    features=(("x", 3),),
    length=(("x", 4),),
    noise=(0.5, 2.0),
    missing=0.0,
)
TWO = SyntheticConfig(
    labels=("a", "b"),
    features=(("x", 3), ("y", 4)),
    length=(("x", 3), ("y", 2)),
    spread=0.8,
    noise=(0.4, 1.5),
    missing=0.4,
    law_seed=3,
)
LAWS = {"one modality": ONE, "two modalities": TWO}


@pytest.fixture(scope="module")
def large():
    return generate(5_000, seed=5)


@pytest.fixture(scope="module")
def posterior(large):
    return bayes_posterior(large)


def brute_force(batch, cfg):
    """P(y_c = 1 | x) from dense Gaussian densities of the flattened sequences."""
    sets, log_prior, mixing = synthetic._law(cfg)
    posterior = np.zeros((batch.size, len(cfg.labels)))
    for i in range(batch.size):
        x, maps, steps = [], [], []
        for name, _ in cfg.features:
            real = batch.modalities[name].values[i][batch.effective_mask(name)[i]]
            x += list(real.astype(float))
            maps += [mixing[name]] * len(real)
            steps.append(real.shape)
        x, maps = np.concatenate(x), np.concatenate(maps)
        likelihood = np.zeros(len(sets))
        for levels in itertools.product(cfg.noise, repeat=len(cfg.features)):
            variances = [np.full(np.prod(n), s**2) for s, n in zip(levels, steps, strict=True)]
            cov = cfg.spread**2 * maps @ maps.T + np.diag(np.concatenate(variances))
            for k, y in enumerate(sets):
                likelihood[k] += multivariate_normal(maps @ (2 * y - 1), cov).pdf(x)
        joint = np.exp(log_prior) * likelihood
        posterior[i] = joint @ sets / joint.sum()
    return posterior


@pytest.mark.parametrize("law", LAWS)
def test_posterior_equals_brute_force(law):
    data = generate(25, seed=1, config=LAWS[law])
    want = brute_force(data.batch, data.config)
    assert np.ptp(want) > 0.01  # the samples tell something
    np.testing.assert_allclose(bayes_posterior(data), want, atol=1e-8)


def test_label_law_by_hand_from_its_parameters():
    # Two labels: P(y) proportional to exp(f . s + J s_1 s_2) with s = 2 y - 1.
    rng = np.random.default_rng(TWO.law_seed)
    coupling, field = rng.normal(0.0, 0.6, (2, 2))[0, 1], rng.normal(-0.4, 0.3, 2)
    sets, log_prior, mixing = synthetic._law(TWO)
    spins = 2 * sets - 1
    energy = spins @ field + coupling * spins[:, 0] * spins[:, 1]
    np.testing.assert_allclose(np.exp(log_prior), np.exp(energy) / np.exp(energy).sum())
    for name, width in TWO.features:
        assert mixing[name].shape == (width, 2)
        np.testing.assert_allclose(mixing[name].T @ mixing[name], np.eye(2), atol=1e-12)


def test_drawn_labels_follow_the_law_and_are_correlated(large):
    sets, log_prior, _ = synthetic._law(large.config)
    labels = large.batch.labels
    drawn = np.array([(labels == s).all(1).mean() for s in sets])
    # Seven standard errors of a share, at most; those of a correlation are no larger.
    error = 7 * np.sqrt(0.25 / len(labels))
    np.testing.assert_allclose(drawn, np.exp(log_prior), atol=error)
    law = np.cov(sets.T, aweights=np.exp(log_prior), ddof=0)
    law = law / np.sqrt(np.outer(np.diag(law), np.diag(law)))
    assert np.abs(law - np.eye(4)).max() > 0
    np.testing.assert_allclose(np.corrcoef(labels.T), law, atol=2 * error)


def test_posterior_is_calibrated(large, posterior):
    """In each bin of each label positives are as many as predicted, by Bernstein's inequality."""
    labels = large.batch.labels
    level = np.log(2 / 1e-11)  # 40 bins: a false alarm rate below 1e-9
    for y, p in zip(labels.T, posterior.T, strict=True):
        for k in range(10):
            chosen = (p * 10).astype(int).clip(max=9) == k
            variance = (p[chosen] * (1 - p[chosen])).sum()
            bound = level / 3 + np.sqrt(level**2 / 9 + 2 * level * variance)
            assert abs((y - p)[chosen].sum()) <= bound


def log_loss(probs, labels):
    """(N,) log loss of each sample."""
    return -(xlogy(labels, probs) + xlogy(1 - labels, 1 - probs)).sum(1)


def test_posterior_is_unbeaten(large, posterior):
    labels = large.batch.labels
    best = log_loss(posterior, labels)
    noise = np.random.default_rng(0).normal(size=posterior.shape)
    base = np.tile(labels.mean(0), (len(labels), 1))
    # Differences of more than ten standard errors in the mean, for each of these.
    for changed in (
        expit(0.5 * logit(posterior)),
        expit(2 * logit(posterior)),
        expit(logit(posterior) + noise),
        base,
    ):
        assert (log_loss(changed, labels) - best).mean() > 0


def test_fewer_modalities_mean_less_certainty(large, posterior):
    batch = large.batch
    hidden = batch.replace(present={**batch.present, "text": np.zeros(batch.size, bool)})
    less = bayes_posterior(hidden, large.config)
    # More than ten standard errors in the mean.
    assert (log_loss(less, batch.labels) - log_loss(posterior, batch.labels)).mean() > 0


def test_nothing_seen_gives_the_prior():
    batch = generate(3, config=TWO).batch
    batch = batch.replace(present={name: np.zeros(3, bool) for name in batch.present})
    sets, log_prior, _ = synthetic._law(TWO)
    np.testing.assert_allclose(
        bayes_posterior(batch, TWO), np.tile(np.exp(log_prior) @ sets, (3, 1))
    )


def test_what_stands_at_hidden_steps_does_not_matter():
    data = generate(30, seed=2, config=TWO)
    want = bayes_posterior(data)
    dirty = jax.tree.map(np.copy, data.batch)
    for modality in dirty.modalities.values():
        modality.values[~modality.mask] = np.nan
    np.testing.assert_array_equal(bayes_posterior(dirty, TWO), want)
    # Missing by its flag alone, and missing by its mask, are the same.
    rows = np.arange(30) % 2 == 0
    by_flag = dirty.replace(present={**dirty.present, "y": dirty.present["y"] & rows})
    y = dirty.modalities["y"]
    by_mask = dirty.replace(
        modalities={**dirty.modalities, "y": y.replace(mask=y.mask & rows[:, None])}
    )
    got = bayes_posterior(by_flag, TWO)
    np.testing.assert_array_equal(got, bayes_posterior(by_mask, TWO))
    assert (got != want).any()


def test_draws_are_what_they_claim(large):
    cfg, batch = large.config, large.batch
    observed = np.stack([batch.present[name] for name, _ in cfg.features], 1)
    assert observed.any(1).all()
    # Eight standard errors; where all would be missing, one modality is kept (a share of 1e-3).
    np.testing.assert_allclose(1 - observed.mean(), cfg.missing, atol=0.02)
    assert set(np.unique(large.noise)) == set(cfg.noise)
    for m, (name, width) in enumerate(cfg.features):
        longest = dict(cfg.length)[name]
        modality = batch.modalities[name]
        assert modality.values.shape == (5_000, longest, width)
        assert modality.values.dtype == batch.labels.dtype == np.float32
        assert not modality.values[~modality.mask].any()
        steps = modality.mask.sum(1)[batch.present[name]]
        assert (steps.min(), steps.max()) == (longest // 4, longest)
        # The true noise level is the spread of the steps around their mean.
        rows = batch.present[name] & (modality.mask.sum(1) > longest // 2)
        for level in cfg.noise:
            chosen = rows & (large.noise[:, m] == level)
            values = np.where(modality.mask[..., None], modality.values, np.nan)[chosen]
            spread = np.sqrt(np.nanvar(values, axis=1, ddof=1).mean())
            np.testing.assert_allclose(spread, level, rtol=0.05)  # ten standard errors


def test_a_seed_determines_the_draw():
    first, again, other = (generate(20, seed=s, config=TWO) for s in (4, 4, 5))
    jax.tree.map(np.testing.assert_array_equal, first.batch, again.batch)
    np.testing.assert_array_equal(first.noise, again.noise)
    assert (first.batch.modalities["x"].values != other.batch.modalities["x"].values).any()
    # Another law with the same draw.
    law = generate(20, seed=4, config=dataclasses.replace(TWO, law_seed=9))
    assert (first.batch.modalities["x"].values != law.batch.modalities["x"].values).any()


def test_shapes_are_what_presets_take():
    assert generate(2, config=TWO).shapes() == {"x": (3, 3), "y": (4, 2)}


def test_too_few_features_are_an_error():
    with pytest.raises(ValueError, match="'x' has 2 features; give it more than the 2 labels"):
        SyntheticConfig(labels=("a", "b"), features=(("x", 2),), length=(("x", 2),))
