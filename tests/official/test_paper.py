"""Preset `paper` trains on shapes that the official code is hard-coded against."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

import lddu
from lddu import config
from lddu.structs import Batch, Modality

pytestmark = pytest.mark.slow  # its programs compile for long

# Two modalities, as long as CMU-MOSEI's unaligned sequences, with M3ED's number of labels.
SHAPES, LABELS = {"vision": (5, 500), "text": (4, 50)}, "abcdefg"


def draw(rows, seed):
    rng = np.random.default_rng(seed)
    modalities = {}
    for name, (features, length) in SHAPES.items():
        values = rng.normal(size=(rows, length, features)).astype(np.float32)
        modalities[name] = Modality(
            values, np.arange(length) < rng.integers(1, length + 1, (rows, 1))
        )
    present = {name: rng.random(rows) > 0.2 for name in SHAPES}
    targets = (rng.random((rows, len(LABELS))) < 0.5).astype(np.float32)
    targets[0], targets[1] = 0, 1
    return Batch(modalities, present, targets)


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """Compiles fast: these programs run for milliseconds and compile for many seconds."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def trained(unoptimised):
    """A predictor after one epoch of two steps, the last not full, and its validation data."""
    cfg = config.replace(
        config.paper(SHAPES, [*LABELS]),
        {
            "model.encoder.hidden": 8,
            "model.encoder.heads": 2,
            "model.encoder.layers": 1,
            "model.encoder.feed_forward": 8,
            "model.latent": 4,
            "model.latent_hidden": (8, 8, 8),
            "model.head_hidden": 8,
            "loss.bank_size": 64,
            "train.batch_size": 4,
            "train.epochs": 1,
        },
    )
    train, valid = (draw(rows, seed) for seed, rows in enumerate((7, 5)))
    return lddu.fit(cfg, train, valid, progress=False), valid


def test_trains(trained):
    predictor, _ = trained
    (record,) = predictor.history
    terms = {"nll", "direct", "contrastive", "spread"}
    recorded = {name.removeprefix("train_") for name in record}
    assert terms <= recorded
    assert {"unimodal", "kl"}.isdisjoint(recorded)
    numbers = [x for x in record.values() if not isinstance(x, str)]
    assert np.isfinite(numbers).all()
    chex.assert_tree_all_finite(predictor.params)


def test_predicts(trained):
    predictor, valid = trained
    prediction = predictor.predict(valid)
    assert prediction.probs.shape == (5, len(predictor.labels))
    chex.assert_tree_all_finite(prediction)
    assert ((prediction.probs > 0) & (prediction.probs < 1)).all()
    assert prediction.direct_logits.shape == prediction.probs.shape
    for field in ("logit_mean", "logit_var", "fused", "weights", "unimodal_logits"):
        assert getattr(prediction, field) is None
    assert predictor.decide(prediction).dtype == bool
    assert (np.ptp(prediction.logits, axis=0) > 0).all()


def test_saves_and_loads(trained, tmp_path):
    predictor, valid = trained
    loaded = lddu.Predictor.load(predictor.save(tmp_path / "predictor"))
    assert loaded.config == predictor.config
    got, want = loaded.predict(valid), predictor.predict(valid)
    chex.assert_trees_all_equal(got, want)
    np.testing.assert_array_equal(loaded.base_rate, predictor.base_rate)


def test_calibrates_anew(trained):
    predictor, valid = trained
    cfg = config.replace(predictor.config, {"calibration.method": "temperature"})
    again = lddu.calibrate(dataclasses.replace(predictor, config=cfg), valid)
    want = np.log(predictor.base_rate / (1 - predictor.base_rate))
    np.testing.assert_allclose(again.calibrator.anchor, want, rtol=1e-5)
    assert again.calibrator.temperature > 0
