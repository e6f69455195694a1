import jax
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from lddu.data.batching import take
from lddu.data.normalize import fit_normalizer, normalize
from lddu.data.sequences import from_sequences


@pytest.fixture
def batch():
    """Wide and narrow features with offsets; row 1 lacks audio; NaN at padded steps."""
    rng = np.random.default_rng(0)
    scale, shift = np.array([1.0, 100.0, 0.01]), np.array([0.0, -50.0, 3.0])
    batch = from_sequences(
        {
            "text": [shift + scale * rng.standard_normal((t, 3)) for t in (4, 2, 5, 1)],
            "audio": [rng.random((3, 2)), None, rng.random((1, 2)), rng.random((2, 2))],
        }
    )
    for modality in batch.modalities.values():
        modality.values[~modality.mask] = np.nan
    return batch


def real(batch, name):
    return batch.modalities[name].values[batch.effective_mask(name)]


def test_equals_scikit_learn_on_real_steps(batch):
    normalizer = fit_normalizer(batch)
    normal = normalize(batch, normalizer)
    for name in batch.modalities:
        scaler = StandardScaler().fit(real(batch, name).astype(np.float64))
        np.testing.assert_allclose(normalizer.mean[name], scaler.mean_, rtol=1e-6)
        np.testing.assert_allclose(normalizer.std[name], scaler.scale_, rtol=1e-6)
        want = scaler.transform(real(batch, name))
        np.testing.assert_allclose(real(normal, name), want, atol=1e-4)
        assert normal.modalities[name].values.dtype == np.float32


def test_padded_and_missing_steps_become_exactly_zero(batch):
    batch = batch.replace(present={**batch.present, "text": np.array([True, True, False, True])})
    normal = normalize(batch, fit_normalizer(batch))
    for name, modality in normal.modalities.items():
        hidden = modality.values[~batch.effective_mask(name)]
        assert hidden.size > 0
        np.testing.assert_array_equal(hidden, 0.0)


def test_rows_without_the_modality_do_not_count(batch):
    hidden = batch.replace(present={**batch.present, "text": np.array([True, True, False, True])})
    got = fit_normalizer(hidden)
    rows = batch.modalities["text"].values[[0, 1, 3]][batch.modalities["text"].mask[[0, 1, 3]]]
    np.testing.assert_allclose(got.mean["text"], rows.mean(0), rtol=1e-5)
    assert not np.allclose(got.mean["text"], fit_normalizer(batch).mean["text"])


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_constant_features_are_shifted_but_not_scaled(constant):
    varying = np.array([1.0, 2.0, 4.0])
    batch = from_sequences({"x": [np.stack([np.full(3, constant), varying], 1)]})
    normalizer = fit_normalizer(batch)
    assert normalizer.std["x"][0] == 1
    values = normalize(batch, normalizer).modalities["x"].values
    np.testing.assert_allclose(values[0, :, 0], 0, atol=1e-6 * max(1, abs(constant)))
    np.testing.assert_allclose(values[0, :, 1].std(), 1, rtol=1e-5)


def test_the_last_bit_of_float32_is_not_a_signal():
    values = np.array([1, np.nextafter(np.float32(1), np.float32(2))], np.float32)
    assert fit_normalizer(from_sequences({"x": [values[:, None]]})).std["x"] == 1


def test_weights_of_rows_are_copies(batch):
    weight = np.arange(batch.size) % 3
    copies = take(batch, np.repeat(np.arange(batch.size), weight))
    got, want = fit_normalizer(batch.replace(weight=weight)), fit_normalizer(copies)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want)
    scaled = fit_normalizer(batch.replace(weight=0.25 * weight))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), scaled, want)
    equal = fit_normalizer(batch.replace(weight=np.ones(batch.size)))
    jax.tree.map(np.testing.assert_array_equal, equal, fit_normalizer(batch))


def test_rows_of_weight_zero_may_hold_anything():
    batch = from_sequences({"x": [np.ones((1, 1)), np.full((2, 1), np.nan)]})
    normalizer = fit_normalizer(batch.replace(weight=np.array([2.0, 0.0])))
    assert (normalizer.mean["x"], normalizer.std["x"]) == (1, 1)
    nothing = fit_normalizer(batch.replace(weight=np.zeros(2)))
    assert (nothing.mean["x"], nothing.std["x"]) == (0, 1)


@pytest.mark.parametrize("unit", [1e-13, 1e13])
def test_units_do_not_matter(unit):
    values = np.random.default_rng(0).standard_normal((50, 2))
    normal = [
        normalize(batch, fit_normalizer(batch)).modalities["x"].values
        for batch in (from_sequences({"x": [values]}), from_sequences({"x": [unit * values]}))
    ]
    np.testing.assert_allclose(normal[1], normal[0], atol=1e-5)
    assert normal[0].dtype == np.float32


def test_a_modality_that_is_always_missing_is_left_alone():
    batch = from_sequences({"x": [None, None]}, features={"x": 3})
    normalizer = fit_normalizer(batch)
    np.testing.assert_array_equal(normalizer.mean["x"], np.zeros(3))
    np.testing.assert_array_equal(normalizer.std["x"], np.ones(3))
    assert not normalize(batch, normalizer).modalities["x"].values.any()


def test_input_is_not_changed(batch):
    before = jax.tree.map(np.copy, batch)
    normalize(batch, fit_normalizer(batch))
    jax.tree.map(np.testing.assert_array_equal, batch, before)


def test_other_width_is_an_error(batch):
    normalizer = fit_normalizer(from_sequences({"text": [np.ones((1, 4))]}))
    only_text = batch.replace(modalities={"text": batch.modalities["text"]})
    with pytest.raises(ValueError, match="'text': width 3, but the normaliser was fitted on 4"):
        normalize(only_text, normalizer)
