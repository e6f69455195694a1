"""`predict` and its relatives on whole batches; streams are in test_predictor_streams.py."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from lddu import metrics, uncertainty
from lddu.data.batching import concatenate, take
from lddu.data.corruptions import subset
from lddu.data.normalize import fit_normalizer
from lddu.structs import Modality

SIZE = 40  # rows per device call: one shape for all tests
close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def prediction(small, toy_data):
    return small.predict(toy_data, batch_size=SIZE)


def with_modality(batch, name, values, mask):
    return batch.replace(modalities={**batch.modalities, name: Modality(values, mask)})


def test_shapes_and_types(prediction):
    shapes = {
        "probs": (40, 2),
        "logits": (40, 2),
        "logit_mean": (40, 2),
        "logit_var": (40, 2),
        "weights": (40, 2, 2),
        "unimodal_logits": (40, 2, 2),
        "aleatoric": (40, 2),
        "epistemic": (40, 2),
        "total": (40, 2),
        "logit_disagreement": (40, 2),
    }
    assert {name: getattr(prediction, name).shape for name in shapes} == shapes
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(prediction))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))
    assert prediction.fused.mean.shape == prediction.latents["y"].var.shape == (40, 2, 2)
    close(prediction.probs, scipy.special.expit(prediction.logits))
    assert (prediction.probs.std(0) > 0.02).all()  # the other tests compare something


@pytest.mark.parametrize("samples", [1, 7, 300])
def test_any_number_of_samples_equals_batch_by_batch(small, toy_data, prediction, samples):
    rows = np.arange(samples) % 40
    got = small.predict(take(toy_data, rows), batch_size=SIZE)
    assert got.probs.shape == (samples, 2)
    close(got, take(prediction, rows))


def test_the_batch_size_does_not_matter(small, toy_data, prediction):
    close(small.predict(toy_data), prediction)


def test_joined_splits_predict_as_their_parts(small, toy_data, prediction):
    parts = [take(toy_data, slice(15)), take(toy_data, slice(15, 40))]
    close(small.predict(concatenate(parts), batch_size=SIZE), prediction)
    for part, rows in zip(parts, (slice(15), slice(15, 40)), strict=True):
        close(small.predict(part, batch_size=SIZE), take(prediction, rows))


def test_values_at_hidden_steps_do_not_matter(small, toy_data, prediction):
    dirty = jax.tree.map(np.copy, toy_data)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    chex.assert_trees_all_equal(small.predict(dirty, batch_size=SIZE), prediction)


def test_masked_equals_shorter(small, toy_data, prediction):
    x = toy_data.modalities["x"]
    mask = x.mask & (np.arange(5) < 4)
    masked = small.predict(with_modality(toy_data, "x", x.values, mask), batch_size=SIZE)
    cut = with_modality(toy_data, "x", x.values[:, :4], mask[:, :4])
    close(small.predict(cut, batch_size=SIZE), masked)
    assert np.abs(masked.probs - prediction.probs).max() > 1e-3


def test_missing_by_flag_equals_missing_by_mask(small, toy_data):
    y = toy_data.modalities["y"]
    by_mask = with_modality(toy_data, "y", y.values, np.zeros_like(y.mask))
    got = small.predict(subset(toy_data, ["x"]), batch_size=SIZE)
    chex.assert_trees_all_equal(got.probs, small.predict(by_mask, batch_size=SIZE).probs)
    assert not got.weights[..., 1].any()
    assert got.weights[toy_data.present["x"], :, 0].min() > 0


@pytest.mark.parametrize("anchor", ["base_rate", "half"])
def test_without_any_modality_the_base_rate_remains(fitted, toy_data, anchor):
    predictor = fitted("temperature_per_label", anchor=anchor)
    # A calibration of these rows would show.
    assert np.abs(np.log(predictor.calibrator.temperature)).max() > 0.05
    nothing = subset(toy_data, [])
    for calibrated in (True, False):
        got = predictor.predict(nothing, batch_size=SIZE, calibrated=calibrated)
        close(got.probs, np.tile(predictor.base_rate, (40, 1)).astype(np.float32))
        np.testing.assert_allclose(got.epistemic, 0, atol=1e-9)
        assert not got.weights.any()


def test_order_and_number_of_modalities_do_not_matter(small, toy_data, prediction):
    turned = toy_data.replace(
        modalities=dict(reversed(toy_data.modalities.items())),
        present=dict(reversed(toy_data.present.items())),
    )
    extra = Modality(np.ones((40, 2, 9), np.float32), np.ones((40, 2), bool))
    more = toy_data.replace(
        modalities={"extra": extra, **toy_data.modalities},
        present={"extra": np.ones(40, bool), **toy_data.present},
    )
    for batch in (turned, more):
        chex.assert_trees_all_equal(small.predict(batch, batch_size=SIZE), prediction)


def test_labels_weights_and_jax_arrays_do_not_matter(small, toy_data, prediction):
    bare = toy_data.replace(labels=None)
    weighted = bare.replace(weight=np.zeros(40))
    for batch in (bare, weighted, jax.tree.map(jnp.asarray, toy_data)):
        chex.assert_trees_all_equal(small.predict(batch, batch_size=SIZE), prediction)


def test_input_is_normalised(small, toy_data, prediction):
    shifted = {n: Modality(4 * m.values + 3, m.mask) for n, m in toy_data.modalities.items()}
    batch = toy_data.replace(modalities=shifted)
    predictor = dataclasses.replace(small, normalizer=fit_normalizer(batch))
    got = predictor.predict(batch, batch_size=SIZE)
    chex.assert_trees_all_close(got, prediction, rtol=1e-3, atol=1e-3)
    assert np.abs(small.predict(batch, batch_size=SIZE).probs - prediction.probs).max() > 1e-2


def test_bad_input_errors_pass_through(small, toy_data):
    bad = jax.tree.map(np.copy, toy_data)
    bad.modalities["x"].values[0] = np.nan
    bad.present["x"][0] = True
    bad.modalities["x"].mask[0] = True
    for call in (small.predict, small.members, small.member_probs, small.dropout_probs):
        with pytest.raises(ValueError, match="'x': NaN or infinity at 5 real steps"):
            call(bad)
        with pytest.raises(ValueError, match=r"lacks modalities \['y'\]"):
            call(toy_data.replace(modalities={"x": toy_data.modalities["x"]}))
        with pytest.raises(ValueError, match="no rows"):
            call(take(toy_data, slice(0)))
        with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
            call(toy_data, batch_size=0)


@pytest.mark.parametrize("fields", ["probs", ("probs", "prob")])
def test_unknown_fields_are_errors(small, toy_data, fields):
    for call in (small.predict, small.members):
        with pytest.raises(ValueError, match=r"fields=.*probs.*: give a tuple of probs, logits"):
            call(toy_data, fields=fields)


# ---- members ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(toy, toy_data):
    """What each member predicts by itself, uncalibrated."""
    return [toy.member(k).predict(toy_data, batch_size=SIZE) for k in range(3)]


def test_an_ensemble_is_the_mean_of_its_members(toy, toy_data, alone):
    together = toy.predict(toy_data, batch_size=SIZE)
    probs = np.stack([p.probs for p in alone])
    assert np.ptp(probs, axis=0).max() > 0.05
    same = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    same(together.probs, probs.mean(0))
    assert (together.probs >= probs.min(0) - 1e-5).all()
    assert (together.probs <= probs.max(0) + 1e-5).all()
    same(together.epistemic, probs.var(0))
    same(together.aleatoric, (probs * (1 - probs)).mean(0))
    same(together.aleatoric + together.epistemic, together.probs * (1 - together.probs))
    mean, var = (
        np.stack([getattr(p, f"logit_{m}") for p in alone]).astype(float) for m in ("mean", "var")
    )
    same(together.logit_mean, mean.mean(0))
    np.testing.assert_allclose(together.logit_var, var.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(together.logit_disagreement, mean.var(0), rtol=1e-3, atol=1e-4)
    close(together.fused, alone[0].fused)
    close(together.latents, alone[0].latents)
    same(together.weights, np.stack([p.weights for p in alone]).mean(0))
    same(together.unimodal_logits, np.stack([p.unimodal_logits for p in alone]).mean(0))


def test_one_member_agrees_with_itself(toy, alone):
    assert not alone[1].epistemic.any()
    assert not alone[1].logit_disagreement.any()
    assert [record["member"] for record in toy.member(1).history] == [1]


@pytest.mark.parametrize("k", [-1, 3])
def test_a_member_that_does_not_exist_is_an_error(toy, toy_members, k):
    for owner in (toy, toy_members):
        with pytest.raises(IndexError, match=f"member {k} does not exist.* from 0 to 2"):
            owner.member(k)


def test_certain_members_do_not_overflow(toy, toy_data):
    head = toy.params["fusion"]["head"]
    head = {**head, "weight": 1e4 * head["weight"]}
    certain = dataclasses.replace(toy, params={**toy.params, "fusion": {"head": head}})
    prediction = certain.predict(toy_data, batch_size=SIZE)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))


def test_member_probs_are_those_of_the_members(toy, toy_data, alone):
    probs = toy.member_probs(toy_data, batch_size=SIZE)
    assert isinstance(probs, np.ndarray)
    close(probs, np.stack([p.probs for p in alone]))
    close(probs.mean(0), toy.predict(toy_data, batch_size=SIZE).probs)
    close(toy.member_probs(toy_data), probs)


def test_member_probs_decompose_into_the_parts_that_predict_gives(small, toy_data, prediction):
    probs = small.member_probs(toy_data, batch_size=SIZE)
    raw = small.member_probs(toy_data, batch_size=SIZE, calibrated=False)
    assert np.abs(probs - raw).max() > 0.01
    parts = uncertainty.decompose_variance(probs, prediction.probs)
    np.testing.assert_allclose(parts.aleatoric, prediction.aleatoric, atol=1e-5)
    np.testing.assert_allclose(parts.epistemic, prediction.epistemic, atol=1e-5)
    p = small.predict(toy_data, batch_size=SIZE, calibrated=False).probs.astype(float)
    entropy = uncertainty.decompose_entropy(raw)
    np.testing.assert_allclose(entropy.total, scipy.stats.bernoulli(p).entropy(), atol=1e-5)


# ---- decisions ----------------------------------------------------------------------------------


def test_thresholds_are_those_that_the_configuration_chose(fitted, small, toy_data, prediction):
    np.testing.assert_array_equal(small.thresholds, np.full(2, small.shared_threshold))
    each = fitted("temperature")
    np.testing.assert_array_equal(each.thresholds, each.label_thresholds)
    assert np.ptp(each.thresholds) > 0
    decisions = each.decide(prediction)
    np.testing.assert_array_equal(decisions, prediction.probs >= each.label_thresholds)

    def macro(d):
        return metrics.f1(d, toy_data.labels, average="macro")

    # Fitted for the largest F1 of each label, on these data.
    assert macro(decisions) >= macro(small.decide(prediction))
