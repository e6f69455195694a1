import dataclasses
import functools
import json
import shutil
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import lddu
from lddu import config, metrics, uncertainty
from lddu.calibration import (
    CALIBRATORS,
    Identity,
    Isotonic,
    Platt,
    apply,
    choose,
    fit_isotonic,
)
from lddu.calibration.thresholds import fit_per_label, fit_shared
from lddu.data.batching import concatenate, take
from lddu.data.normalize import fit_normalizer
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.model import LDDU
from lddu.predictor import Predictor, inference
from lddu.predictor import storage as saving
from lddu.structs import Modality
from lddu.training.state import base_rate

LAW = SyntheticConfig(
    labels=("a", "b"), features=(("x", 3), ("y", 4)), length=(("x", 5), ("y", 2)), missing=0.3
)
CONFIG = config.replace(
    config.tiny({"x": (3, 5), "y": (4, 2)}, LAW.labels),
    {"model.encoder.hidden": 4, "model.latent": 2, "model.latent_hidden": (4,), "train.members": 3},
)
RATE = np.array([0.2, 0.65])


@pytest.fixture(scope="module")
def raw():
    """Three members with weights at random, and large ones, before calibration."""
    batch = generate(40, seed=3, config=LAW).batch
    model = LDDU(CONFIG.model)
    keys = jax.random.split(jax.random.key(5), 3)
    init = jax.jit(jax.vmap(lambda key: model.init(key, take(batch, np.arange(1)))["params"]))
    params = init(keys)
    prior = jnp.tile(jnp.log(RATE / (1 - RATE)), (3, 1))
    weight = 5 * params["fusion"]["head"]["weight"]
    params["fusion"] = {"head": {"weight": weight, "prior_logit": prior}}
    return Predictor(
        CONFIG,
        params,
        fit_normalizer(batch),
        RATE,
        Identity(),
        np.asarray(0.5),
        np.full(2, 0.5),
        tuple({"member": k, "epoch": 1, "valid_nll": 0.5} for k in range(3)),
    )


@pytest.fixture(scope="module")
def data(raw):
    """Labels as likely as `raw` says at temperature 2, so that it is too certain of itself."""
    batch = generate(40, seed=3, config=LAW).batch
    prior = np.log(RATE / (1 - RATE))
    probs = 1 / (1 + np.exp(-prior - (raw.predict(batch).logits - prior) / 2))
    labels = np.random.default_rng(0).random(probs.shape) < probs
    return batch.replace(labels=labels.astype(np.float32))


@pytest.fixture(scope="module")
def small(raw, data):
    return lddu.calibrate(raw, data)


def calibrated(predictor, data, **changes):
    changes = {f"calibration.{name}": value for name, value in changes.items()}
    changed = dataclasses.replace(predictor, config=config.replace(predictor.config, changes))
    return lddu.calibrate(changed, data)


def hide(batch, *names):
    nothing = {name: np.zeros(batch.size, bool) for name in names}
    return batch.replace(present={**batch.present, **nothing})


def assert_close(got, want, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), got, want)


def assert_identical(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.fixture(scope="module")
def fitted(small, data):
    """fitted(method): `small` calibrated by that method, per-label thresholds; once for all."""

    @functools.cache
    def fit(method):
        return calibrated(small, data, method=method, thresholds="per_label")

    return fit


every = pytest.mark.parametrize("method", get_args(config.CalibrationMethod))


# ---- predict ------------------------------------------------------------------------------------


def test_shapes_and_types(small, data):
    prediction = small.predict(data)
    shapes = {
        "probs": (40, 2),
        "logits": (40, 2),
        "logit_mean": (40, 2),
        "logit_var": (40, 2),
        "weights": (40, 2, 2),
        "unimodal_logits": (40, 2, 2),
        "aleatoric": (40, 2),
        "epistemic": (40, 2),
    }
    assert {name: getattr(prediction, name).shape for name in shapes} == shapes
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(prediction))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))
    assert prediction.fused.mean.shape == prediction.latents["y"].var.shape == (40, 2, 2)
    np.testing.assert_allclose(prediction.probs, 1 / (1 + np.exp(-prediction.logits)), atol=1e-6)
    assert prediction.probs.std() > 0.05  # the other tests compare something


@pytest.mark.parametrize("samples", [1, 7, 300])
def test_any_number_of_samples_equals_batch_by_batch(small, data, samples):
    batch = take(data, np.arange(samples) % 40)
    got = small.predict(batch)
    want = small.predict(data)
    assert got.probs.shape == (samples, 2)
    assert_close(got, take(want, np.arange(samples) % 40))


def test_batch_size_does_not_matter(small, data):
    assert_close(small.predict(data, batch_size=16), small.predict(data))


def test_one_compilation_per_padded_length(small, data):
    # A model of its own: compilations are shared by predictors of one model.
    model = config.replace(CONFIG, {"model.variance_floor": 2e-4})
    fresh = dataclasses.replace(small, config=model)
    for samples in (1, 7, 300):
        fresh.predict(take(data, np.arange(samples) % 40))
    fresh.predict(data, calibrated=False)
    calibrated(fresh, data, method="temperature_per_label").predict(data)
    assert inference.forward(model.model)._cache_size() == 1
    x = data.modalities["x"]
    shorter = Modality(x.values[:, :3], x.mask[:, :3])
    fresh.predict(data.replace(modalities={**data.modalities, "x": shorter}))
    assert inference.forward(model.model)._cache_size() == 2


def test_what_stands_at_hidden_steps_does_not_matter(small, data):
    dirty = jax.tree.map(np.copy, data)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    assert_identical(small.predict(dirty), small.predict(data))


def test_masked_equals_shorter(small, data):
    x = data.modalities["x"]
    mask = x.mask & (np.arange(5) < 3)
    masked = data.replace(modalities={**data.modalities, "x": Modality(x.values, mask)})
    cut = Modality(x.values[:, :3], mask[:, :3])
    got, want = (
        small.predict(batch)
        for batch in (masked, data.replace(modalities={**data.modalities, "x": cut}))
    )
    assert_close(got, want)
    assert not np.allclose(got.probs, small.predict(data).probs, atol=1e-3)


def test_missing_by_flag_equals_missing_by_mask(small, data):
    y = data.modalities["y"]
    nothing = Modality(y.values, np.zeros_like(y.mask))
    by_mask = data.replace(modalities={**data.modalities, "y": nothing})
    got = small.predict(hide(data, "y"))
    assert_identical(got.probs, small.predict(by_mask).probs)
    assert not got.weights[..., 1].any()
    assert got.weights[data.present["x"], :, 0].min() > 0


@pytest.mark.parametrize("anchor", ["base_rate", "half"])
def test_without_any_modality_the_base_rate_remains(small, data, anchor):
    predictor = calibrated(small, data, anchor=anchor, method="temperature_per_label")
    assert (predictor.calibrator.temperature > 1.2).any()  # so that calibration would show
    for calibrate in (True, False):
        prediction = predictor.predict(hide(data, "x", "y"), calibrated=calibrate)
        np.testing.assert_allclose(prediction.probs, np.tile(RATE, (40, 1)), atol=1e-5)
        np.testing.assert_allclose(prediction.epistemic, 0, atol=1e-9)
        assert not prediction.weights.any()


def test_order_and_number_of_modalities_do_not_matter(small, data):
    turned = data.replace(
        modalities=dict(reversed(data.modalities.items())),
        present=dict(reversed(data.present.items())),
    )
    extra = Modality(np.ones((40, 2, 9), np.float32), np.ones((40, 2), bool))
    more = data.replace(
        modalities={"extra": extra, **data.modalities},
        present={"extra": np.ones(40, bool), **data.present},
    )
    want = small.predict(data)
    assert_identical(small.predict(turned), want)
    assert_identical(small.predict(more), want)


def test_labels_weights_and_jax_arrays_do_not_matter(small, data):
    want = small.predict(data)
    bare = data.replace(labels=None)
    assert_identical(small.predict(bare), want)
    assert_identical(small.predict(bare.replace(weight=np.zeros(40))), want)
    assert_identical(small.predict(jax.tree.map(jnp.asarray, data)), want)


def test_input_is_normalised(small, data):
    shifted = {name: Modality(10 * m.values + 3, m.mask) for name, m in data.modalities.items()}
    batch = data.replace(modalities=shifted)
    predictor = dataclasses.replace(small, normalizer=fit_normalizer(batch))
    assert_close(predictor.predict(batch), small.predict(data), atol=1e-4)


def test_bad_input_errors_pass_through(small, data):
    bad = jax.tree.map(np.copy, data)
    bad.modalities["x"].values[0] = np.nan
    bad.present["x"][0] = True
    bad.modalities["x"].mask[0] = True
    with pytest.raises(ValueError, match="'x': NaN or infinity at 5 real steps"):
        small.predict(bad)
    only = data.replace(modalities={"x": data.modalities["x"]})
    with pytest.raises(ValueError, match=r"lacks modalities \['y'\]"):
        small.predict(only)
    with pytest.raises(ValueError, match="no rows"):
        small.predict(take(data, np.arange(0)))


# ---- streams ------------------------------------------------------------------------------------


def parts_of(batch, sizes):
    ends = np.cumsum(sizes)
    return [take(batch, slice(e - n, e)) for e, n in zip(ends, sizes, strict=True)]


def joined(predictions):
    return jax.tree.map(lambda *x: np.concatenate(x), *predictions)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_a_stream_predicts_as_its_concatenation(small, data, sizes):
    data = take(data, np.arange(sum(sizes)) % 40)
    got = list(small.predict_batches(parts_of(data, sizes), batch_size=16))
    assert [len(p.probs) for p in got] == sizes
    assert_close(joined(got), small.predict(data))


def test_a_stream_compiles_once_per_padded_length(small, data):
    forward = inference.forward(small.config.model)
    x = data.modalities["x"]
    cut = Modality(x.values[:, :4], x.mask[:, :4])
    shorter = data.replace(modalities={**data.modalities, "x": cut})
    wide = {name: Modality(m.values.astype(float), m.mask) for name, m in data.modalities.items()}
    stream = [
        *parts_of(data, [1, 17, 22]),
        take(data.replace(modalities=wide), slice(5)),
        *parts_of(shorter, [3, 30]),
        take(data, slice(2)),
    ]
    before = forward._cache_size()
    got = list(small.predict_batches(stream, batch_size=13))
    assert forward._cache_size() == before + 2
    for prediction, batch in zip(got, stream, strict=True):
        assert_close(prediction, small.predict(batch, batch_size=13))
    assert forward._cache_size() == before + 2


def test_only_the_fields_asked_for_leave_the_device(small, data, monkeypatch):
    want, fetched = small.predict(data), []

    def fetch(tree):
        fetched.append(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
        return jax.tree.map(np.asarray, tree)

    monkeypatch.setattr(jax, "device_get", fetch)
    got = small.predict(data, fields=("probs", "weights"))
    assert_identical(
        got, want.replace(**dict.fromkeys(set(inference.FIELDS) - {"probs", "weights"}))
    )
    assert fetched == [256 * (2 + 2 * 2) * 4]
    fetched.clear()
    small.member_probs(data)
    assert fetched == [256 * 3 * 2 * 4]
    assert jax.tree.leaves(small.predict(data, fields=())) == []


def test_one_buffer_may_be_filled_again_and_again(small, data):
    def stream():
        buffer = jax.tree.map(np.copy, take(data, slice(5)))
        for part in parts_of(data, [5] * 8):
            jax.tree.map(np.copyto, buffer, part)
            yield buffer

    got = list(small.predict_batches(stream(), batch_size=16))
    for array in jax.tree.leaves(got):
        array += 0  # as writable as those of predict
    assert_close(joined(got), small.predict(data))


def test_a_stream_is_read_as_it_is_used(small, data):
    read = []

    def endless():
        while True:
            read.append(1)
            yield take(data, slice(16))

    stream = small.predict_batches(endless(), batch_size=16, fields=("probs",))
    assert not read
    for number in range(1, 6):
        next(stream)
        assert len(read) == number + 2  # two more are on their way


def test_mistakes_in_a_stream(small, data):
    bad = jax.tree.map(np.copy, data)
    bad.modalities["x"].values[:] = np.nan
    stream = small.predict_batches([data, bad])
    with pytest.raises(ValueError, match="batch 1: modality 'x': NaN or infinity"):
        list(stream)
    with pytest.raises(ValueError, match="batch 1: batch has no rows"):
        list(small.predict_batches([data, take(data, slice(0))]))
    assert list(small.predict_batches([])) == []
    for fields in ("probs", ("probs", "prob")):
        with pytest.raises(ValueError, match=r"fields=.*probs.*: give a tuple of probs, logits"):
            small.predict_batches([data], fields=fields)  # at once
    for predict in (
        small.predict,
        small.member_probs,
        lambda b, **k: small.predict_batches([b], **k),
    ):
        with pytest.raises(ValueError, match="batch_size=0 is not at least 1"):
            predict(data, batch_size=0)


# ---- members ------------------------------------------------------------------------------------


def test_an_ensemble_is_the_mean_of_its_members(small, data):
    together = small.predict(data, calibrated=False)
    alone = [small.member(k).predict(data, calibrated=False) for k in range(3)]
    probs = np.stack([p.probs for p in alone])
    assert np.ptp(probs, axis=0).max() > 0.05
    np.testing.assert_allclose(together.probs, probs.mean(0), atol=1e-6)
    assert (together.probs >= probs.min(0) - 1e-6).all()
    assert (together.probs <= probs.max(0) + 1e-6).all()
    np.testing.assert_allclose(together.epistemic, probs.var(0), atol=1e-6)
    np.testing.assert_allclose(together.aleatoric, (probs * (1 - probs)).mean(0), atol=1e-6)
    total = together.probs * (1 - together.probs)
    np.testing.assert_allclose(together.aleatoric + together.epistemic, total, atol=1e-6)
    # The moments of the mixture of the members' Gaussian logits.
    mean, var = (np.stack([getattr(p, f"logit_{m}") for p in alone]) for m in ("mean", "var"))
    np.testing.assert_allclose(together.logit_mean, mean.mean(0), rtol=1e-4, atol=1e-5)
    second = (var + mean**2).mean(0)
    np.testing.assert_allclose(together.logit_var, second - mean.mean(0) ** 2, rtol=1e-3, atol=1e-4)
    assert_close(together.fused, alone[0].fused)
    weights = np.stack([p.weights for p in alone])
    np.testing.assert_allclose(together.weights, weights.mean(0), atol=1e-6)


def test_one_member_is_not_uncertain_of_itself(small, data):
    one = small.member(1)
    assert not one.predict(data).epistemic.any()
    assert [record["member"] for record in one.history] == [1]


def test_certain_members_do_not_overflow(small, data):
    head = small.params["fusion"]["head"]
    head = {**head, "weight": 1e4 * head["weight"]}
    certain = dataclasses.replace(small, params={**small.params, "fusion": {"head": head}})
    prediction = certain.predict(data, calibrated=False)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))


def test_member_probs_are_those_of_the_members(small, data):
    probs = small.member_probs(data, calibrated=False)
    alone = [small.member(k).predict(data, calibrated=False).probs for k in range(3)]
    np.testing.assert_allclose(probs, np.stack(alone), atol=1e-6)
    together = small.predict(data, calibrated=False).probs
    np.testing.assert_allclose(probs.mean(0), together, atol=1e-6)
    assert isinstance(probs, np.ndarray)
    np.testing.assert_allclose(
        small.member_probs(data, batch_size=16), small.member_probs(data), atol=1e-5
    )


def test_member_probs_decompose_into_the_parts_that_predict_gives(small, data):
    parts = uncertainty.decompose_variance(small.member_probs(data))
    prediction = small.predict(data)
    np.testing.assert_allclose(parts.aleatoric, prediction.aleatoric, atol=1e-6)
    np.testing.assert_allclose(parts.epistemic, prediction.epistemic, atol=1e-6)
    assert (
        np.abs(small.member_probs(data) - small.member_probs(data, calibrated=False)).max() > 0.01
    )
    entropy = uncertainty.decompose_entropy(small.member_probs(data, calibrated=False))
    p = small.predict(data, calibrated=False).probs.astype(float)
    np.testing.assert_allclose(entropy.total, scipy.stats.bernoulli(p).entropy(), atol=1e-5)


# ---- dropout ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dropping(small):
    """The same weights in a model with dropout."""
    model = {"model.encoder.dropout": 0.1, "model.label_dropout": 0.2}
    return dataclasses.replace(small, config=config.replace(CONFIG, model))


def test_dropout_masks_differ_by_draw_member_and_seed(dropping, data):
    probs = dropping.dropout_probs(data, samples=5)
    assert probs.shape == (15, 40, 2)
    assert np.isfinite(probs).all()
    np.testing.assert_array_equal(dropping.dropout_probs(data, samples=5), probs)
    assert (dropping.dropout_probs(data, samples=5, seed=1) != probs).any()
    # More draws only add to fewer.
    by_member = probs.reshape(3, 5, 40, 2)
    fewer = dropping.dropout_probs(data, samples=3).reshape(3, 3, 40, 2)
    np.testing.assert_array_equal(fewer, by_member[:, :3])
    something = data.observed(["x", "y"]).any(1)
    assert (np.ptp(by_member, axis=1)[:, something] > 0).all()
    # Masks scatter about the network without them.
    apart = np.abs(by_member.mean(1) - dropping.member_probs(data)).mean((1, 2))
    scatter = by_member.std(1).mean((1, 2))
    assert (apart < scatter).all()
    # Where draws hardly differ, the difference of two entropies rounds to 0.
    epistemic = np.asarray(uncertainty.decompose_entropy(probs[:5]).epistemic)[something]
    assert epistemic.min() >= 0
    assert (epistemic > 0).mean() > 0.9
    assert uncertainty.decompose_variance(probs[:5]).epistemic[something].min() > 0


def test_dropout_masks_differ_by_row_and_batch(dropping, data):
    # Members need not agree, so one: 24 copies of a row in three batches.
    one = take(data, np.full(24, np.flatnonzero(data.present["x"])[0]))
    probs = dropping.member(0).dropout_probs(one, samples=1, batch_size=8)
    assert len(np.unique(probs[0, :, 0])) == 24


def test_dropout_that_never_strikes_gives_the_members(small, data):
    # Without training's samples of the latent too.
    model = {"model.encoder.dropout": 1e-7, "model.samples": 2}
    never = dataclasses.replace(small, config=config.replace(CONFIG, model))
    for calibrate in (True, False):
        got = never.dropout_probs(data, samples=2, calibrated=calibrate).reshape(3, 2, 40, 2)
        want = small.member_probs(data, calibrated=calibrate)
        np.testing.assert_allclose(got, np.stack([want, want], axis=1), atol=1e-5)


def test_dropout_leaves_the_base_rate_without_any_modality(dropping, data):
    probs = dropping.dropout_probs(hide(data, "x", "y"), samples=2)
    np.testing.assert_allclose(probs, np.broadcast_to(RATE, (6, 40, 2)), atol=1e-5)


def test_dropout_compiles_once_whatever_is_asked_of_it(dropping, data):
    forward = inference.dropout_logits(dropping.config.model)
    dropping.dropout_probs(data, samples=1)
    compiled = forward._cache_size()
    assert compiled > 0
    for rows, samples in ((1, 1), (40, 3), (300, 2)):
        batch = take(data, np.arange(rows) % 40)
        probs = dropping.dropout_probs(batch, samples=samples, seed=rows, calibrated=rows > 1)
        assert probs.shape == (3 * samples, rows, 2)
    assert forward._cache_size() == compiled


def test_a_model_without_dropout_is_an_error(small, dropping, data):
    with pytest.raises(ValueError, match=r"no dropout: encoder\.dropout, .* are all 0; train one"):
        small.dropout_probs(data)
    with pytest.raises(ValueError, match="samples=0 is not at least 1"):
        dropping.dropout_probs(data, samples=0)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"fusion": "gate", "head_dropout": 0.3}, "head_dropout"),
        ({"statistics": 8, "statistics_dropout": 0.3}, "statistics_dropout"),
        ({"encoder.attention_dropout": 0.3}, "encoder.attention_dropout"),
    ],
)
def test_dropout_rates_are_those_of_layers_that_exist(changes, name):
    loss = {"loss.unimodal": 0.0} if "fusion" in changes else {}
    cfg = config.replace(CONFIG, {**{f"model.{k}": v for k, v in changes.items()}, **loss})
    assert [k for k, rate in inference.dropout_rates(cfg.model).items() if rate] == [name]


# ---- calibration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "shape"), [("temperature", ()), ("temperature_per_label", (2,))]
)
@pytest.mark.parametrize("anchor", ["base_rate", "half"])
def test_calibration_mends_overconfidence(small, data, method, shape, anchor):
    predictor = calibrated(small, data, method=method, anchor=anchor)
    assert predictor.calibrator.temperature.shape == shape
    want = np.log(RATE / (1 - RATE)) if anchor == "base_rate" else np.zeros(2)
    np.testing.assert_allclose(predictor.calibrator.anchor, want, atol=1e-5)
    before = metrics.nll(predictor.predict(data, calibrated=False).probs, data.labels)
    after = metrics.nll(predictor.predict(data).probs, data.labels)
    assert after < before


def test_calibration_takes_one_pass_and_fits_what_predict_gives(small, data, monkeypatch):
    calls, forward = [], inference.forward(small.config.model)

    def counting(*args):
        calls.append(args)
        return forward(*args)

    with monkeypatch.context() as patch:
        patch.setattr(inference, "forward", lambda model: counting)
        again = lddu.calibrate(small, data)
    assert len(calls) == 1
    probs = again.predict(data).probs
    np.testing.assert_allclose(again.shared_threshold, fit_shared(probs, data.labels), atol=1e-6)
    want = fit_per_label(probs, data.labels, fallback=float(again.shared_threshold))
    np.testing.assert_allclose(again.label_thresholds, want, atol=1e-6)


def test_per_label_is_no_worse_than_shared_on_its_own_data(small, data):
    shared, each = (
        metrics.nll(calibrated(small, data, method=m).predict(data).probs, data.labels)
        for m in ("temperature", "temperature_per_label")
    )
    assert each <= shared + 1e-6


def test_calibration_none_changes_nothing(small, data):
    none = calibrated(small, data, method="none")
    assert_identical(none.predict(data), none.predict(data, calibrated=False))
    assert np.abs(none.predict(data).probs - small.predict(data).probs).max() > 0.01


def test_shrinkage_pulls_the_temperature_to_one(small, data):
    free, pulled = (
        abs(np.log(calibrated(small, data, shrinkage=s).calibrator.temperature))
        for s in (None, 1e6)
    )
    assert free > 0.05
    assert pulled < 1e-3


def test_thresholds_are_those_that_the_configuration_chose(small, data):
    shared = calibrated(small, data, thresholds="shared")
    np.testing.assert_array_equal(shared.thresholds, np.full(2, shared.shared_threshold))
    each = calibrated(small, data, thresholds="per_label")
    np.testing.assert_array_equal(each.thresholds, each.label_thresholds)
    assert np.ptp(each.thresholds) > 0
    prediction = each.predict(data)
    decisions = each.decide(prediction)
    np.testing.assert_array_equal(decisions, prediction.probs >= each.label_thresholds)

    def macro(d):
        return metrics.f1(d, data.labels, average="macro")

    assert macro(decisions) >= macro(shared.decide(shared.predict(data)))


# ---- any calibrator -----------------------------------------------------------------------------


@every
def test_every_calibrator_acts_on_the_mean_and_on_each_member(fitted, data, method):
    predictor = fitted(method)
    prediction, raw = predictor.predict(data), predictor.predict(data, calibrated=False)
    want = np.asarray(apply(predictor.calibrator, raw.logits))
    np.testing.assert_allclose(prediction.logits, want, rtol=1e-5, atol=1e-5)
    members = predictor.member_probs(data)
    for k in range(3):
        logits = predictor.member(k).predict(data, calibrated=False).logits
        want = scipy.special.expit(apply(predictor.calibrator, logits))
        np.testing.assert_allclose(members[k], want, atol=1e-5)
    parts = uncertainty.decompose_variance(members)
    np.testing.assert_allclose(prediction.aleatoric, parts.aleatoric, atol=1e-6)
    np.testing.assert_allclose(prediction.epistemic, parts.epistemic, atol=1e-6)
    changed = np.abs(prediction.probs - raw.probs).max()
    assert changed > 0.01 if type(predictor.calibrator) is not Identity else changed == 0


@every
def test_thresholds_follow_every_calibrator(fitted, data, method):
    predictor = fitted(method)
    prediction = predictor.predict(data)
    shared = fit_shared(prediction.probs, data.labels)
    np.testing.assert_array_equal(predictor.shared_threshold, shared)
    want = fit_per_label(prediction.probs, data.labels, fallback=float(shared))
    np.testing.assert_array_equal(predictor.label_thresholds, want)
    np.testing.assert_array_equal(predictor.decide(prediction), prediction.probs >= want)


@every
def test_without_any_modality_the_base_rate_remains_under_every_calibrator(fitted, data, method):
    predictor, nothing = fitted(method), hide(data, "x", "y")
    np.testing.assert_allclose(predictor.predict(nothing).probs, np.tile(RATE, (40, 1)), atol=1e-5)
    members = predictor.member_probs(nothing)
    np.testing.assert_allclose(members, np.broadcast_to(RATE, (3, 40, 2)), atol=1e-5)


@every
def test_every_method_fits_no_worse_on_its_own_data(fitted, data, method):
    predictor = fitted(method)
    before = metrics.nll(predictor.predict(data, calibrated=False).probs, data.labels)
    after = metrics.nll(predictor.predict(data).probs, data.labels)
    # Isotonic pays for its pseudo-samples.
    assert after <= before + (0.01 if method == "isotonic" else 1e-6)


@pytest.mark.parametrize("method", ["temperature_per_label", "platt", "vector", "beta", "matrix"])
def test_shrinkage_pulls_every_parametric_method_to_changing_nothing(small, fitted, data, method):
    raw = small.predict(data, calibrated=False).probs
    pulled = calibrated(small, data, method=method, shrinkage=1e6).predict(data).probs
    np.testing.assert_allclose(pulled, raw, atol=1e-3)
    assert np.abs(fitted(method).predict(data).probs - raw).max() > 0.01


def test_methods_fit_as_the_registry_by_default(fitted, data):
    logits = fitted("none").predict(data, calibrated=False).logits
    for method in ("platt", "vector", "beta", "isotonic", "matrix"):
        assert_identical(fitted(method).calibrator, CALIBRATORS[method](logits, data.labels))


def test_states_of_one_kind_share_a_compilation(fitted, data):
    others = {
        "isotonic": Isotonic(jnp.zeros((1, 2)), jnp.ones((1, 2))),  # fewer knots
        "temperature_per_label": fitted("temperature").calibrator,
        "platt": fitted("vector").calibrator,
        "beta": jax.tree.map(lambda x: 1.5 * x, fitted("beta").calibrator),
        "matrix": jax.tree.map(lambda x: 1.5 * x, fitted("matrix").calibrator),
    }

    def compiled(predictor):
        predictor.predict(data)
        predictor.member_probs(data)
        return inference.combine_members._cache_size(), inference._probs._cache_size()

    for method, other in others.items():
        before = compiled(fitted(method))
        assert compiled(dataclasses.replace(fitted(method), calibrator=other)) == before
    flat = dataclasses.replace(fitted("isotonic"), calibrator=others["isotonic"])
    np.testing.assert_allclose(flat.predict(data).logits, 1)


def test_choose_keeps_the_scores_of_all_candidates(small, fitted, data):
    predictor = fitted("choose")
    scores = predictor.choice.scores
    assert [s.name for s in scores] == list(CALIBRATORS)
    assert predictor.choice.state is predictor.calibrator
    assert_identical(predictor.calibrator, fitted(predictor.choice.name).calibrator)
    assert fitted("platt").choice is None
    assert calibrated(predictor, data, method="none").choice is None  # not a stale one
    logits = small.predict(data, calibrated=False).logits
    want = choose(logits, data.labels, ["none", "vector"]).scores
    got = {s.name: s.nll for s in scores}
    assert [got[s.name] for s in want] == pytest.approx([s.nll for s in want], abs=1e-6)
    # Temperatures take part with the anchor of the configuration, not at one half.
    half = calibrated(small, data, method="choose", anchor="half").choice.scores
    differ = {s.name for s, h in zip(scores, half, strict=True) if abs(s.nll - h.nll) > 1e-4}
    assert differ == {"temperature", "temperature_per_label"}


def test_choose_keeps_groups_together(fitted, data):
    groups = np.arange(40) // 5
    predictor = lddu.calibrate(fitted("choose"), data, groups)
    logits = predictor.predict(data, calibrated=False).logits
    want = choose(logits, data.labels, ["none", "isotonic"], groups=groups).scores
    got = {s.name: (s.nll, s.standard_error) for s in predictor.choice.scores}
    for s in want:
        assert got[s.name] == pytest.approx((s.nll, s.standard_error), abs=1e-6)
    ungrouped = {s.name: s.nll for s in fitted("choose").choice.scores}
    assert abs(got["isotonic"][0] - ungrouped["isotonic"]) > 1e-4
    with pytest.raises(ValueError, match=r"groups has shape \(7,\), .* row of valid, \(40,\)"):
        lddu.calibrate(fitted("choose"), data, np.arange(7))
    with pytest.raises(ValueError, match=r"folds=5 .* groups .* 2"):
        lddu.calibrate(fitted("choose"), data, np.arange(40) // 20)


def test_rows_without_any_input_do_not_count(small, data):
    present = {name: p & (np.arange(40) >= 15) for name, p in data.present.items()}
    valid = data.replace(present=present)
    logits = small.predict(valid, calibrated=False).logits
    got = calibrated(small, valid, method="isotonic").calibrator
    assert_identical(got, fit_isotonic(logits[15:], data.labels[15:]))
    everyone = fit_isotonic(logits, data.labels)
    assert np.abs(apply(got, logits) - apply(everyone, logits)).max() > 0.01
    nothing = hide(data, "x", "y")
    for method in ("temperature", "platt", "isotonic", "choose"):
        with pytest.raises(ValueError, match=f"no row .* any input, .*method='{method}'"):
            calibrated(small, nothing, method=method)
    probs = calibrated(small, nothing, method="none").predict(nothing).probs
    np.testing.assert_allclose(probs, np.tile(RATE, (40, 1)), atol=1e-5)


def test_calibrate_refuses_labels_that_are_soft_or_absent(small, data):
    with pytest.raises(ValueError, match=r"valid\.labels are soft"):
        lddu.calibrate(small, data.replace(labels=0.5 * data.labels))
    with pytest.raises(ValueError, match="no labels"):
        lddu.calibrate(small, data.replace(labels=None))


def test_a_calibrator_of_other_labels_is_an_error(small, data):
    wrong = dataclasses.replace(small, calibrator=Platt(jnp.ones(3), jnp.zeros(3)))
    with pytest.raises(ValueError, match="fitted on 3 labels"):
        wrong.predict(data)


# ---- save and load ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    return small.save(tmp_path_factory.mktemp("saved") / "new" / "predictor")


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the saved predictor that a test may damage."""
    return shutil.copytree(saved, tmp_path / "predictor")


def test_a_loaded_predictor_predicts_the_same_bits(small, saved, data):
    loaded = Predictor.load(saved)
    assert_identical(loaded.predict(data), small.predict(data))
    assert_identical(loaded.predict(data, calibrated=False), small.predict(data, calibrated=False))
    np.testing.assert_array_equal(loaded.base_rate, RATE)
    np.testing.assert_array_equal(loaded.thresholds, small.thresholds)
    np.testing.assert_array_equal(loaded.label_thresholds, small.label_thresholds)
    assert loaded.config == small.config
    assert loaded.labels == ("a", "b")
    assert loaded.history == small.history
    assert sorted(p.name for p in saved.parent.iterdir()) == ["predictor"]


@every
def test_every_calibrator_survives_saving(fitted, data, tmp_path, method):
    predictor = fitted(method)
    loaded = Predictor.load(predictor.save(tmp_path / "p"))
    assert type(loaded.calibrator) is type(predictor.calibrator)
    assert_identical(loaded.calibrator, predictor.calibrator)
    assert_identical(loaded.predict(data), predictor.predict(data))
    np.testing.assert_array_equal(loaded.thresholds, predictor.thresholds)
    assert loaded.config == predictor.config
    if method == "choose":
        assert loaded.choice.name == predictor.choice.name
        assert loaded.choice.scores == predictor.choice.scores
        assert loaded.choice.state is loaded.calibrator
    else:
        assert loaded.choice is predictor.choice is None


def test_save_replaces_an_older_predictor(small, copied, data):
    other = small.member(2)
    assert other.save(copied) == copied
    assert_identical(Predictor.load(copied).predict(data), other.predict(data))
    assert sorted(p.name for p in copied.parent.iterdir()) == ["predictor"]


def test_save_refuses_what_is_not_a_predictor(small, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("all my work")
    (tmp_path / "file").write_text("mine")
    for name in ("thesis", "file"):
        with pytest.raises(FileExistsError, match=f"{name} exists and holds no saved predictor"):
            small.save(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "all my work"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_save_leaves_the_old_predictor(small, copied, data, monkeypatch):
    def fail(fields):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "_to_json", fail)
        with pytest.raises(OSError, match="disk full"):
            small.member(0).save(copied)
    assert_identical(Predictor.load(copied).predict(data), small.predict(data))
    assert sorted(p.name for p in copied.parent.iterdir()) == ["predictor"]


def test_load_of_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match="holds no saved predictor"):
            Predictor.load(path)


@pytest.mark.parametrize("text", ['{"format": 2, "mem', "", "[]"])
def test_load_of_damaged_json(copied, text):
    (copied / "predictor.json").write_text(text)
    with pytest.raises(ValueError, match=r"predictor\.json is damaged"):
        Predictor.load(copied)


def test_load_of_another_format(copied):
    text = json.loads((copied / "predictor.json").read_text())
    (copied / "predictor.json").write_text(json.dumps({**text, "format": 99}))
    with pytest.raises(ValueError, match="format 99, expected 1 or 2"):
        Predictor.load(copied)


@pytest.mark.parametrize(
    ("calibrator", "message"),
    [
        ({"type": "Magic", "state": {}}, "unknown type 'Magic'; known are Identity, Temperature"),
        ({"type": "Platt", "state": {"slope": [1, 1]}}, r"holds \['slope'\]; a Platt has \['bias'"),
        ({"type": "Platt", "state": {"slope": [1], "bias": [0]}}, r"shape \(1,\), but .* 2 labels"),
        (
            {"type": "Platt", "state": {"slope": [1, 1], "bias": [0, np.nan]}},
            "bias that is not fin",
        ),
        ({"type": "Isotonic", "state": {"knots": [0, 1], "values": [0, 1]}}, "the calibrator "),
        ({"type": "Platt", "state": {"slope": ["a", "b"], "bias": [0, 0]}}, "the calibrator "),
        ({"type": "Platt"}, "lacks 'state'"),
        ({"type": ["Platt"], "state": {}}, "the calibrator "),
        (None, "the calibrator "),
    ],
)
def test_load_of_a_calibrator_that_does_not_fit(copied, calibrator, message):
    text = json.loads((copied / "predictor.json").read_text())
    text["calibrator"] = calibrator
    (copied / "predictor.json").write_text(json.dumps(text))
    with pytest.raises(ValueError, match=message):
        Predictor.load(copied)


def test_load_of_the_first_format(small, copied, data):
    """It held a temperature and its anchor side by side, and said so in the configuration."""
    text = json.loads((copied / "predictor.json").read_text())
    state = text.pop("calibrator")["state"]
    del text["choice"]
    (copied / "predictor.json").write_text(json.dumps({**text, **state, "format": 1}))
    settings = json.loads((copied / "config.json").read_text())
    old = {"temperature": "shared", "anchor": "base_rate", "shrinkage": 0.0, "thresholds": "shared"}
    (copied / "config.json").write_text(json.dumps({**settings, "calibration": old}))
    loaded = Predictor.load(copied)
    assert loaded.config == small.config
    assert_identical(loaded.predict(data), small.predict(data))


def test_save_of_what_is_no_calibrator(small, tmp_path):
    with pytest.raises(ValueError, match="calibrator is a dict, must be one of Identity"):
        dataclasses.replace(small, calibrator={}).save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_load_of_a_configuration_that_does_not_fit(copied):
    other = config.replace(CONFIG, {"model.latent": 3})
    (copied / "config.json").write_text(other.to_json())
    with pytest.raises(ValueError, match=r"params.* does not fit config\.json"):
        Predictor.load(copied)


def test_load_of_truncated_parameters(copied):
    files = [p for p in (copied / "params").rglob("*") if p.is_file() and p.stat().st_size]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"params.* does not fit config\.json"):
        Predictor.load(copied)


def test_load_without_parameters(copied):
    shutil.rmtree(copied / "params")
    with pytest.raises(ValueError, match=r"params.* does not fit config\.json"):
        Predictor.load(copied)


# ---- fit ----------------------------------------------------------------------------------------


def test_fit_on_tiny_data(predictor, tiny_data):
    train, valid, test = tiny_data
    epochs = [(r["member"], r["epoch"]) for r in predictor.history]
    assert epochs == [(0, 1), (0, 2), (1, 1), (1, 2)]
    prediction = predictor.predict(test.batch)
    assert prediction.epistemic.max() > 0
    score = metrics.nll(prediction.probs, test.batch.labels)
    base = np.tile(base_rate(train.batch.labels), (test.batch.size, 1))
    assert score < metrics.nll(base, test.batch.labels)
    raw = predictor.predict(valid.batch, calibrated=False)
    after = metrics.nll(predictor.predict(valid.batch).probs, valid.batch.labels)
    assert after <= metrics.nll(raw.probs, valid.batch.labels) + 1e-6
    nothing = predictor.predict(hide(test.batch, "text", "audio", "vision"))
    np.testing.assert_allclose(nothing.probs, base, atol=1e-5)


@pytest.mark.slow
def test_fit_copes_with_awkward_data(tmp_path):
    """Soft and integer labels, one that never occurs, a modality never seen, and one unknown."""
    law = dataclasses.replace(LAW, features=(("x", 3),), length=(("x", 5),), missing=0.0)
    train, valid = (generate(n, seed=n, config=law).batch for n in (20, 12))

    def awkward(batch, labels):
        size = batch.size
        never = Modality(np.full((size, 1, 2), np.nan, np.float32), np.zeros((size, 1), bool))
        unknown = Modality(np.ones((size, 2, 1), np.float32), np.ones((size, 2), bool))
        labels[:, 1] = 0
        return batch.replace(
            modalities={**batch.modalities, "never": never, "unknown": unknown},
            present={**batch.present, "never": np.ones(size, bool), "unknown": np.ones(size, bool)},
            labels=labels,
        )

    train = awkward(train, np.where(train.labels > 0, 0.75, 0.25))
    valid = awkward(valid, valid.labels.astype(int))
    valid = valid.replace(
        modalities={k: m for k, m in valid.modalities.items() if k != "unknown"},
    )
    cfg = config.replace(
        config.tiny({"x": (3, 5), "never": (2, 1)}, law.labels),
        {
            "model.encoder.hidden": 4,
            "model.latent": 2,
            "model.latent_hidden": (4,),
            "train.epochs": 2,
            "loss.bank_size": 0,
            "loss.spread": 0.0,
        },
    )
    predictor = lddu.fit(cfg, train, valid, folder=tmp_path / "run", progress=False)
    prediction = predictor.predict(train)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(prediction))
    assert np.isfinite(predictor.thresholds).all()
    assert prediction.probs[:, 1].max() < 0.3
    assert not prediction.weights[..., 1].any()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["epochs"] == 2
    # Called again, fit only loads what it finds.
    again = lddu.fit(cfg, train, valid, folder=tmp_path / "run", progress=False)
    assert again.history == predictor.history
    assert_identical(again.predict(train), prediction)


def test_fit_refuses_soft_validation_labels(data):
    with pytest.raises(ValueError, match=r"valid\.labels are soft"):
        lddu.fit(CONFIG, data, data.replace(labels=0.5 * data.labels), progress=False)


def test_fit_refuses_the_folder_of_another_configuration(data, tmp_path):
    other = config.replace(CONFIG, {"train.seed": 7})
    (tmp_path / "config.json").write_text(other.to_json())
    with pytest.raises(ValueError, match="holds a run of another configuration"):
        lddu.fit(CONFIG, data, data, folder=tmp_path, progress=False)
    assert (tmp_path / "config.json").read_text() == other.to_json()


def test_fit_checks_both_splits(data):
    for train, valid in ((data.replace(labels=None), data), (data, data.replace(labels=None))):
        with pytest.raises(ValueError, match="no labels"):
            lddu.fit(CONFIG, train, valid, progress=False)


def test_joined_splits_predict_as_their_parts(small, data):
    parts = [take(data, np.arange(15)), take(data, np.arange(15, 40))]
    joined = small.predict(concatenate(parts))
    apart = [small.predict(part) for part in parts]
    assert_close(joined, jax.tree.map(lambda *x: np.concatenate(x), *apart))
