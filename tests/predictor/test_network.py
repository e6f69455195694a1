import dataclasses

import jax
import numpy as np
import pytest

from lddu import config
from lddu.config import ModelConfig
from lddu.data.batching import take
from lddu.predictor import network
from lddu.structs import Modality

SIZE = 40


def shared(predictor):
    return network.compiled_forward(predictor.config.model, predictor.config.execution)


def test_one_compilation_per_padded_length(small, fitted, toy_data):
    x = toy_data.modalities["x"]
    cut = Modality(x.values[:, :4], x.mask[:, :4])
    shorter = toy_data.replace(modalities={**toy_data.modalities, "x": cut})
    for batch in (toy_data, shorter):
        small.predict(batch, batch_size=SIZE)
    compiled = shared(small)._cache_size()
    other = dataclasses.replace(small, calibrator=fitted("temperature_per_label").calibrator)
    assert shared(other) is shared(small)
    for batch in (toy_data, shorter):
        for samples in (1, 7, 300):
            small.predict(take(batch, np.arange(samples) % 40), batch_size=SIZE)
        small.predict(batch, batch_size=SIZE, calibrated=False)
        small.members(batch, batch_size=SIZE)
        other.predict(batch, batch_size=SIZE)
    assert shared(small)._cache_size() == compiled


def test_equal_configurations_share_a_forward_pass(toy):
    changed = config.replace(toy.config, {"model.variance_floor": 2e-4})
    assert network.compiled_forward(changed.model, changed.execution) is not shared(toy)
    again = config.Config.from_json(toy.config.to_json())
    assert network.compiled_forward(again.model, again.execution) is shared(toy)


def test_prepare_keeps_only_inputs_that_the_model_has(toy, toy_data):
    unknown = Modality(np.ones((40, 1, 1)), np.ones((40, 1), bool))
    more = jax.tree.map(jax.numpy.asarray, toy_data).replace(
        modalities={**toy_data.modalities, "unknown": unknown},
        present={**toy_data.present, "unknown": np.ones(40, bool)},
        weight=np.ones(40),
    )
    got = network.prepare(more, toy.config.model)
    assert list(got.modalities) == list(got.present) == ["x", "y"]
    assert got.labels is None
    assert got.weight is None
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(got))
    with pytest.raises(ValueError, match=r"lacks modalities \['y'\]"):
        network.prepare(
            toy_data.replace(modalities={"x": toy_data.modalities["x"]}), toy.config.model
        )


def model_of(hidden, length, stride=1):
    encoder = config.EncoderConfig(hidden=hidden, feed_forward=hidden, heads=1, layers=2)
    return ModelConfig((config.ModalityConfig("x", 1, length, stride),), ("a",), encoder)


def test_default_batches_shrink_with_the_work_of_a_row_on_cpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    sizes = [network.default_batch_size(model_of(64, t)) for t in (1, 2**9, 2**11, 2**13, 2**20)]
    assert sizes[0] == 256
    assert sizes[-1] == 16
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 2
    assert set(sizes) <= {16, 32, 64, 128, 256}
    strided = network.default_batch_size(model_of(64, 2**13, stride=2**4))
    assert strided == network.default_batch_size(model_of(64, 2**9))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert network.default_batch_size(model_of(64, 2**20)) == 256


def test_the_batch_size_must_be_positive(toy):
    model = toy.config.model
    assert network.checked_batch_size(7, model) == 7
    assert network.checked_batch_size(None, model) == network.default_batch_size(model)
    for size in (0, -3):
        with pytest.raises(ValueError, match=f"batch_size={size} must be at least 1"):
            network.checked_batch_size(size, model)
