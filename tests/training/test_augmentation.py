import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.training.augmentation import augment

LAW = SyntheticConfig(
    labels=("a",),
    features=(("x", 2), ("y", 2), ("z", 2)),
    length=(("x", 2), ("y", 1), ("z", 1)),
    missing=0.3,
)


@pytest.fixture(scope="module")
def wide():
    """4,000 rows of three modalities; the first ten have none."""
    batch = generate(4_000, config=LAW).batch
    present = {name: p & (np.arange(4_000) >= 10) for name, p in batch.present.items()}
    return jax.tree.map(jnp.asarray, batch.replace(present=present))


def changed_config(**changes):
    cfg = config.tiny({"x": (2, 2), "y": (2, 1), "z": (2, 1)}, ["a"])
    return config.replace(cfg, {f"train.{name}": value for name, value in changes.items()})


def changed(batch, seed=0, **changes):
    noise, hide = jax.random.split(jax.random.key(seed))
    return augment(noise, hide, batch, changed_config(**changes))


def share_near(count, trials, rate):
    """Compares a share with its rate: 7 standard errors, a false alarm in 10**11 (Gauss)."""
    error = np.sqrt(rate * (1 - rate) / trials)
    assert abs(count / trials - rate) < 7 * error


def test_augment_off_changes_nothing(wide):
    jax.tree.map(np.testing.assert_array_equal, changed(wide), wide)


@pytest.mark.parametrize("rate", [0.3, 0.99])
def test_modality_dropout_hides_the_share_it_says_and_spares_one(wide, rate):
    names = ("x", "y", "z")
    had = np.asarray(wide.observed(names))
    kept = np.asarray(changed(wide, modality_dropout=rate).observed(names))
    assert not (kept & ~had).any()
    np.testing.assert_array_equal(kept.any(1), had.any(1))
    # Each of m modalities stays with 1 - rate, and one more where all were drawn to go; the same
    # for each modality.
    for m in (1, 2, 3):
        rows = had.sum(1) == m
        stays = (m * (1 - rate) + rate**m) / m
        for k in range(3):
            mine = rows & had[:, k]
            if m == 1:
                assert kept[mine, k].all()
            else:
                share_near(kept[mine, k].sum(), mine.sum(), stays)


def test_modality_dropout_is_determined_by_its_key(wide):
    names = ("x", "y", "z")
    kept, again, other = (
        np.asarray(changed(wide, seed, modality_dropout=0.3).observed(names)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(kept, again)
    assert (kept != other).any()


def test_modality_dropout_leaves_values_labels_and_masks(wide):
    hidden = changed(wide, modality_dropout=0.5)
    jax.tree.map(np.testing.assert_array_equal, hidden.modalities, wide.modalities)
    np.testing.assert_array_equal(hidden.labels, wide.labels)


def test_feature_noise_has_its_deviation_and_differs_by_modality(wide):
    noisy = changed(wide, feature_noise=0.2)
    noise = {k: noisy.modalities[k].values - wide.modalities[k].values for k in wide.modalities}
    for name, values in noise.items():
        # 8,000 draws or more: margins of 7 standard errors.
        assert abs(values.mean()) < 7 * 0.2 / np.sqrt(values.size)
        assert abs(values.std() - 0.2) < 7 * 0.2 / np.sqrt(2 * values.size)
        np.testing.assert_array_equal(noisy.modalities[name].mask, wide.modalities[name].mask)
    correlation = np.corrcoef(np.ravel(noise["y"]), np.ravel(noise["z"]))[0, 1]
    assert abs(correlation) < 7 / np.sqrt(8_000)
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
    # Uniform from 0 to 0.8, and then drawn step by step, which adds at most 1 / (4 * 30) to the
    # variance. The mean has a margin of 7 standard errors.
    deviation = np.sqrt(0.8**2 / 12 + 1 / 120)
    assert abs(share.mean() - 0.4) < 7 * deviation / np.sqrt(len(share))
    assert 0.8 / np.sqrt(12) * 0.8 < share.std() < 1.2 * deviation
    # Nearly none and nearly all that the rate allows: each misses once in 10**9 or more rarely.
    assert share.min() < 0.1
    assert share.max() > 0.6
    jax.tree.map(np.testing.assert_array_equal, dropped.present, batch.present)


@pytest.fixture(scope="module")
def augmented(example):
    """What the example gives for each member alone."""
    function, data, index, keys = example
    function = jax.jit(function)
    return [jax.device_get(function(data, index, key)) for key in keys]


def member_near(together, k, alone):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[k], b, rtol=1e-5, atol=1e-6), together, alone
    )


def test_draws_do_not_depend_on_vectorisation(example, augmented):
    function, *arguments = example
    together = jax.jit(jax.vmap(function, in_axes=(None, None, 0)))(*arguments)
    for k in range(2):
        member_near(together, k, augmented[k])


@pytest.mark.slow
def test_draws_do_not_depend_on_devices(on_devices, augmented):
    for k in range(2):
        member_near(on_devices["augmented"], k, augmented[k])
