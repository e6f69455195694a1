"""Noise and hidden inputs are drawn at the rates that the configuration says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.training.augmentation import augment

WIDE = SyntheticConfig(
    labels=("a",),
    features=(("x", 2), ("y", 2), ("z", 2)),
    length=(("x", 2), ("y", 1), ("z", 1)),
    missing=0.3,
)


@pytest.fixture(scope="module")
def wide():
    """4,000 rows of three modalities; the first ten have none."""
    batch = generate(4_000, config=WIDE).batch
    present = {name: p & (np.arange(4_000) >= 10) for name, p in batch.present.items()}
    return jax.tree.map(jnp.asarray, batch.replace(present=present))


def augmented(batch, seed=0, **changes):
    cfg = config.tiny({"x": (2, 2), "y": (2, 1), "z": (2, 1)}, ["a"])
    cfg = config.replace(cfg, {f"train.{name}": value for name, value in changes.items()})
    noise, hide = jax.random.split(jax.random.key(seed))
    return augment(noise, hide, batch, cfg)


def test_augment_off_changes_nothing(wide):
    jax.tree.map(np.testing.assert_array_equal, augmented(wide), wide)


@pytest.mark.parametrize("rate", [0.3, 0.99])
def test_modality_dropout_hides_the_share_it_says_and_spares_one(wide, rate):
    names = ("x", "y", "z")
    had = np.asarray(wide.observed(names))
    kept = np.asarray(augmented(wide, modality_dropout=rate).observed(names))
    assert not (kept & ~had).any()
    np.testing.assert_array_equal(kept.any(1), had.any(1))
    # Of m modalities each stays with 1 - rate, and one more where all were drawn to go.
    for m in (1, 2, 3):
        rows = had.sum(1) == m
        want = m * (1 - rate) + rate**m
        # Counts lie in [0, m]: seven standard errors at most.
        margin = 7 * m / 2 / np.sqrt(rows.sum())
        np.testing.assert_allclose(kept[rows].sum(1).mean(), want, atol=margin)
    # No modality is spared more often than others.
    complete = had.all(1)
    assert np.ptp(kept[complete].mean(0)) < 2 * 7 * 0.5 / np.sqrt(complete.sum())
    again, other = (augmented(wide, s, modality_dropout=rate).observed(names) for s in (0, 1))
    np.testing.assert_array_equal(kept, again)
    assert (kept != np.asarray(other)).any()


def test_modality_dropout_leaves_values_labels_and_masks(wide):
    hidden = augmented(wide, modality_dropout=0.5)
    jax.tree.map(np.testing.assert_array_equal, hidden.modalities, wide.modalities)
    np.testing.assert_array_equal(hidden.labels, wide.labels)


def test_feature_noise_has_its_deviation_and_differs_by_modality(wide):
    noisy = augmented(wide, feature_noise=0.2)
    noise = {k: noisy.modalities[k].values - wide.modalities[k].values for k in wide.modalities}
    for name, values in noise.items():
        # Seven standard errors of the mean, and more of the deviation.
        margin = 7 * 0.2 / np.sqrt(values.size)
        np.testing.assert_allclose([values.mean(), values.std()], [0, 0.2], atol=margin)
        np.testing.assert_array_equal(noisy.modalities[name].mask, wide.modalities[name].mask)
    assert abs(np.corrcoef(np.ravel(noise["y"]), np.ravel(noise["z"]))[0, 1]) < 7 / np.sqrt(
        noise["y"].size
    )
    jax.tree.map(np.testing.assert_array_equal, noisy.present, wide.present)


def test_step_dropout_hides_shares_from_none_to_the_rate_and_spares_a_step():
    law = SyntheticConfig(
        labels=("a",), features=(("x", 2), ("y", 2)), length=(("x", 40), ("y", 3)), missing=0.3
    )
    batch = jax.tree.map(jnp.asarray, generate(2_000, config=law).batch)
    cfg = config.replace(
        config.tiny({"x": (2, 40), "y": (2, 3)}, ["a"]), {"train.step_dropout": 0.8}
    )
    noise, hide = jax.random.split(jax.random.key(0))
    dropped = augment(noise, hide, batch, cfg)
    for name in ("x", "y"):
        had, kept = (np.asarray(b.modalities[name].mask) for b in (batch, dropped))
        assert not (kept & ~had).any()
        np.testing.assert_array_equal(kept.any(1), had.any(1))
        np.testing.assert_array_equal(
            dropped.modalities[name].values, batch.modalities[name].values
        )
    had, kept = (np.asarray(b.modalities["x"].mask).sum(1) for b in (batch, dropped))
    share = 1 - kept[had >= 30] / had[had >= 30]
    # Uniform from 0 to 0.8, blurred by drawing step by step.
    margin = 7 * 0.25 / np.sqrt(len(share))
    np.testing.assert_allclose([share.mean(), share.std()], [0.4, 0.8 / np.sqrt(12)], atol=margin)
    jax.tree.map(np.testing.assert_array_equal, dropped.present, batch.present)


def test_draws_are_the_same_when_members_are_vectorised(wide):
    few = jax.tree.map(lambda x: x[:16], wide)
    cfg = config.replace(
        config.tiny({"x": (2, 2), "y": (2, 1), "z": (2, 1)}, ["a"]),
        {"train.feature_noise": 0.1, "train.step_dropout": 0.5, "train.modality_dropout": 0.5},
    )
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 3)

    def one(key):
        return augment(*jax.random.split(key), few, cfg)

    together = jax.vmap(one)(keys)
    for k, key in enumerate(keys):
        jax.tree.map(
            lambda got, want, k=k: np.testing.assert_allclose(got[k], want, rtol=1e-5, atol=1e-6),
            together,
            one(key),
        )
