import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.data import corruptions, fit_normalizer, from_sequences
from lddu.data.corruptions import CORRUPTIONS, STRENGTHS
from lddu.structs import Batch, Modality

ROWS = 60
every_corruption = pytest.mark.parametrize("corrupt", CORRUPTIONS.values(), ids=CORRUPTIONS.keys())


def build(rows=ROWS, seed=0):
    """Two modalities of other widths and lengths, with NaN at padding and a gap.

    Rows 0 to 3 lack audio, the last two weigh 0. Arrays are read-only.
    """
    rng = np.random.default_rng(seed)
    widths = {"text": (3, 12), "audio": (2, 7)}
    modalities, present = {}, {}
    for name, (width, steps) in widths.items():
        mask = np.arange(steps) < rng.integers(2, steps + 1, rows)[:, None]
        mask[5, 0] = False
        values = 5 + rng.standard_normal((rows, steps, width)) * np.arange(1, width + 1)
        values[~mask] = np.nan
        modalities[name] = Modality(values.astype(np.float32), mask)
        present[name] = np.ones(rows, bool)
    present["audio"][:4] = False
    labels = (rng.random((rows, 4)) < 0.4).astype(np.float32)
    batch = Batch(modalities, present, labels, np.ones(rows, np.float32))
    batch.weight[-2:] = 0
    jax.tree.map(lambda x: x.setflags(write=False), batch)
    return batch


def equal(a, b):
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: np.array_equal(x, y, True), a, b)))


def same(x, y):
    np.testing.assert_array_equal(x, y, strict=True)


def seen(batch, name):
    """The values a model sees, 0 elsewhere."""
    return np.where(batch.effective_mask(name)[..., None], batch.modalities[name].values, 0.0)


def damage(before, after, corrupt):
    """How much noise there is, else how many steps, or samples, are hit."""
    changes = [np.abs(seen(after, name) - seen(before, name)) for name in before.modalities]
    if corrupt is corruptions.feature_noise:
        return sum(x.sum() for x in changes)
    if corrupt in (corruptions.drop_steps, corruptions.drop_span):
        return sum(x.any(-1).sum() for x in changes)
    return sum(x.any((1, 2)).sum() for x in changes)


@pytest.fixture(scope="module")
def batch():
    return build()


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(3), 4)


@every_corruption
def test_the_key_decides(corrupt, batch, keys):
    first = corrupt(keys[0], batch, 3)
    assert equal(first, corrupt(keys[0], batch, 3))
    assert not equal(first, corrupt(keys[1], batch, 3))
    assert equal(first, corrupt(jax.random.key_data(keys[0]), batch, 3))


@every_corruption
def test_labels_padding_and_the_input_stay(corrupt, batch, keys):
    before = jax.tree.map(np.copy, batch)
    after = corrupt(keys[0], batch, 5)
    jax.tree.map(same, batch, before)
    assert jax.tree.structure(after) == jax.tree.structure(batch)
    same(after.labels, batch.labels)
    same(after.weight, batch.weight)
    for name in batch.modalities:
        old, new = batch.modalities[name], after.modalities[name]
        assert new.values.dtype == np.float32
        untouched = ~batch.present[name] | (batch.weight == 0)
        same(new.values[untouched], old.values[untouched])
        same(new.mask[untouched], old.mask[untouched])
        same(after.present[name][untouched], batch.present[name][untouched])
        assert not (after.present[name] & ~batch.present[name]).any()
        assert np.isfinite(new.values[after.effective_mask(name)]).all()
        if corrupt is not corruptions.swap_modality:  # which takes the padding along
            assert not (new.mask & ~old.mask).any()
            same(new.values[~old.mask], old.values[~old.mask])
            assert not new.values[old.mask & ~new.mask].any()


@every_corruption
def test_only_the_named_modalities_change_and_alike(corrupt, batch, keys):
    both = corrupt(keys[0], batch, 4)
    for name, other in (("text", "audio"), ("audio", "text")):
        for named in ([name], name):
            after = corrupt(keys[0], batch, 4, named)
            assert equal(after.modalities[other], batch.modalities[other])
            assert equal(after.present[other], batch.present[other])
            assert equal(after.modalities[name], both.modalities[name])
            assert equal(after.present[name], both.present[name])
    assert equal(corrupt(keys[0], batch, 4, []), batch)


@every_corruption
def test_modalities_are_damaged_independently(corrupt, keys):
    one = build().modalities["text"]
    twins = Batch({"a": one, "b": one}, {k: np.ones(ROWS, bool) for k in "ab"})
    after = corrupt(keys[0], twins, 3)
    assert not np.array_equal(seen(after, "a"), seen(after, "b"))


@every_corruption
def test_a_higher_severity_changes_more(corrupt, batch, keys):
    for key in keys:
        changes = [damage(batch, corrupt(key, batch, severity), corrupt) for severity in range(6)]
        assert changes[0] == 0 < changes[1]
        assert np.all(np.diff(changes) > 0)
    assert equal(corrupt(keys[0], batch, 0), batch)


@every_corruption
def test_jax_arrays_become_numpy(corrupt, batch, keys):
    after = corrupt(keys[0], jax.tree.map(jax.numpy.asarray, batch), 2)
    assert {type(x) for x in jax.tree.leaves(after)} == {np.ndarray}
    assert equal(after, corrupt(keys[0], batch, 2))


@every_corruption
def test_batches_without_labels_or_anything_observed_pass(corrupt, keys):
    empty = from_sequences({"x": [None, None]}, features={"x": 3})
    assert equal(corrupt(keys[0], empty, 5), empty)


@every_corruption
def test_bad_input(corrupt, batch, keys):
    for severity in (-1, 6, 0.5, np.nan, "3"):
        with pytest.raises(ValueError, match=rf"severity={severity}; choose one of 1, 2, 3, 4, 5"):
            corrupt(keys[0], batch, severity)
    with pytest.raises(ValueError, match="unknown modality 'video'; choose among 'audio', 'text'"):
        corrupt(keys[0], batch, 1, ["text", "video"])
    with pytest.raises(ValueError, match=r"key has shape \(4,\); pass a single key"):
        corrupt(keys, batch, 1)


def test_the_registry_holds_every_corruption_with_rising_strengths():
    assert list(CORRUPTIONS) == list(STRENGTHS)
    assert all(len(s) == 5 and np.all(np.diff(s) > 0) and s[0] > 0 for s in STRENGTHS.values())


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_noise_has_the_stated_deviation(severity, keys):
    batch = build(rows=2000)
    real = batch.effective_mask("audio") & (batch.weight > 0)[:, None]
    old = batch.modalities["audio"].values[real]
    strength = STRENGTHS["feature_noise"][severity - 1]
    for scale, unit in ((None, old.std(0)), ({"audio": [0.0, 10.0]}, np.array([0.0, 10.0]))):
        after = corruptions.feature_noise(keys[0], batch, severity, ["audio"], scale)
        noise = after.modalities["audio"].values[real] - old
        # Of some 9,000 draws: eight standard errors, or more.
        np.testing.assert_allclose(noise.std(0), strength * unit, rtol=0.06)
        np.testing.assert_allclose(noise.mean(0), 0, atol=0.1 * strength * unit.max())
    correlation = np.corrcoef(after.modalities["audio"].values[real].T)
    assert abs(correlation[0, 1]) < 0.1


def test_noise_spares_constant_features_and_takes_a_normalizers_scale(keys):
    varying = np.arange(6.0)
    batch = from_sequences({"x": [np.stack([np.full(6, 0.1), varying], 1)]})
    noisy = corruptions.feature_noise(keys[0], batch, 5).modalities["x"].values
    np.testing.assert_allclose(noisy[0, :, 0], 0.1, rtol=1e-6)
    assert np.all(noisy[0, :, 1] != varying)
    scaled = corruptions.feature_noise(keys[0], batch, 5, scale=fit_normalizer(batch).std)
    np.testing.assert_allclose(scaled.modalities["x"].values[0, :, 1], noisy[0, :, 1], rtol=1e-5)
    whole = batch.replace(
        modalities={"x": Modality(np.ones((1, 6, 2), int), np.ones((1, 6), bool))}
    )
    noise = corruptions.feature_noise(keys[0], whole, 1, scale={"x": np.ones(2)})
    assert np.all(noise.modalities["x"].values % 1 != 0)  # not cut to integers


def test_noise_refuses_what_it_cannot_scale(batch, keys):
    values = batch.modalities["text"].values.copy()
    values[0, 1] = np.inf
    bad = batch.replace(
        modalities={**batch.modalities, "text": batch.modalities["text"].replace(values=values)}
    )
    with pytest.raises(ValueError, match="modality 'text': NaN or infinity at real steps"):
        corruptions.feature_noise(keys[0], bad, 1)
    for scale, message in (
        ({"text": np.ones(3)}, r"scale lacks modality 'audio'; it has \['text'\]"),
        (
            {"text": np.ones(2), "audio": np.ones(2)},
            r"scale\['text'\] has shape \(2,\), must be \(3,\)",
        ),
        ({"text": np.ones(3), "audio": -np.ones(2)}, r"scale\['audio'\] .*>= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            corruptions.feature_noise(keys[0], batch, 1, scale=scale)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_the_stated_share_of_steps_is_dropped_and_higher_severities_drop_more_of_them(
    severity, keys
):
    batch = build(rows=2000)
    real = batch.effective_mask("text") & (batch.weight > 0)[:, None]
    dropped = real & ~corruptions.drop_steps(keys[0], batch, severity).modalities["text"].mask
    share = STRENGTHS["drop_steps"][severity - 1]
    # Of some 14,000 steps: nine standard errors, or more.
    assert dropped.sum() / real.sum() == pytest.approx(share, abs=0.04)
    lower = corruptions.drop_steps(keys[0], batch, severity - 1).modalities["text"].mask
    assert not (real & ~lower & ~dropped).any()


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_span_is_contiguous_and_as_long_as_stated(steps, severity, seed):
    gaps = np.random.default_rng(seed).random((20, 40)).argsort(1) < steps  # real steps with gaps
    batch = Batch({"x": Modality(np.ones((20, 40, 1)), gaps)}, {"x": np.ones(20, bool)})
    key = np.array([seed, 1], np.uint32)
    mask = corruptions.drop_span(key, batch, severity).modalities["x"].mask
    share = STRENGTHS["drop_span"][severity - 1]
    for old, new in zip(gaps, mask, strict=True):
        kept = new[old]
        assert np.sum(~kept) == int(share * steps + 0.5)
        assert np.sum(np.diff(np.concatenate([[1], kept, [1]])) != 0) in (0, 2)


def test_a_span_starts_anywhere_with_equal_probability(keys):
    ones = Modality(np.ones((4000, 8, 1)), np.ones((4000, 8), bool))
    batch = Batch({"x": ones}, {"x": np.ones(4000, bool)})
    start = np.argmin(corruptions.drop_span(keys[0], batch, 3).modalities["x"].mask, axis=1)
    np.testing.assert_allclose(np.bincount(start, minlength=5) / 4000, 1 / 5, atol=0.05)  # 8 errors


@pytest.mark.parametrize("corrupt", [corruptions.drop_steps, corruptions.drop_span])
def test_a_sample_that_loses_every_step_counts_as_missing(corrupt, keys):
    batch = from_sequences({"x": [np.ones((1, 2))] * 50, "y": [np.ones((9, 2))] * 50})
    after = corrupt(keys[0], batch, 5, ["x"])
    had = after.observed(["x", "y"])
    assert not had[:, 0].all()
    assert had[:, 1].all()


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_the_stated_share_of_samples_lacks_a_modality(severity, batch, keys):
    after = corruptions.drop_modality(keys[0], batch, severity)
    lower = corruptions.drop_modality(keys[0], batch, severity - 1)
    for name, had in (("text", 58), ("audio", 54)):
        lost = batch.present[name] & ~after.present[name]
        assert lost.sum() == int(STRENGTHS["drop_modality"][severity - 1] * had + 0.5)
        assert not (after.present[name] & ~lower.present[name]).any()
        assert equal(after.modalities[name], batch.modalities[name])


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_nobody_chosen_for_a_swap_keeps_its_own(severity, batch, keys):
    after = corruptions.swap_modality(keys[0], batch, severity)
    for name, had in (("text", 58), ("audio", 54)):
        old, new = seen(batch, name), seen(after, name)
        where = [int(np.flatnonzero((old == row).all((1, 2)))[0]) for row in new]
        moved = np.flatnonzero(np.array(where) != np.arange(ROWS))
        moved = moved[batch.present[name][moved]]
        assert len(moved) == int(STRENGTHS["swap_modality"][severity - 1] * had + 0.5)
        assert sorted(np.array(where)[moved]) == list(moved)
        same(after.present[name], batch.present[name])


def test_swaps_of_very_few_samples(keys):
    def batch(n):
        return from_sequences({"x": [np.full((i + 1, 1), i + 1.0) for i in range(n)]})

    # A tenth of six samples is one, which takes a partner.
    for key in keys:
        after = corruptions.swap_modality(key, batch(6), 1).modalities["x"]
        moved = np.flatnonzero(after.values[:, 0, 0] != np.arange(1, 7))
        assert len(moved) == 2
        same(after.mask.sum(1)[moved], moved[::-1] + 1)
    assert equal(corruptions.swap_modality(keys[0], batch(1), 5), batch(1))
    assert equal(corruptions.swap_modality(keys[0], batch(4), 1), batch(4))


def test_subsets_are_all_but_the_empty_one():
    assert corruptions.subsets("ab") == [("a",), ("b",), ("a", "b")]
    many = corruptions.subsets(["text", "audio", "video", "depth"])
    assert len(set(many)) == len(many) == 15
    assert many[0] == ("text",)
    assert many[-1] == ("text", "audio", "video", "depth")


def test_a_subset_hides_the_others_and_adds_nothing(batch):
    text = corruptions.subset(batch, ["text"])
    assert text.present["text"].all()
    assert not text.present["audio"].any()
    audio = corruptions.subset(batch, ["audio"])
    same(audio.present["audio"], batch.present["audio"])
    assert not audio.present["text"].any()
    assert equal(audio.modalities, batch.modalities)
    assert equal(corruptions.subset(batch, ["audio", "text"]), batch)
    with pytest.raises(ValueError, match="unknown modality 'video'; choose among 'audio', 'text'"):
        corruptions.subset(batch, ["video"])
