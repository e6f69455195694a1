import dataclasses

import jax
import numpy as np
import pytest

import lddu
from lddu import config
from lddu.calibration import Identity
from lddu.data.batching import take
from lddu.data.normalize import fit_normalizer
from lddu.packing import stream
from lddu.predictor import inference
from lddu.structs import Batch, Modality

CONFIG = config.replace(
    config.tiny({"x": (3, 12), "y": (5, 6)}, ["a", "b"]), {"model.variance_floor": 3e-4}
)


def short(rows, longest=12, seed=0):
    """Sequences of a third of their padding in the mean; some lack a modality."""
    rng = np.random.default_rng(seed)
    modalities = {}
    for name, width, length in (("x", 3, 12), ("y", 5, 6)):
        steps = np.minimum(rng.integers(0, 9, rows), longest) * length // 12
        mask = np.arange(length) < steps[:, None]
        values = rng.normal(size=(rows, length, width)).astype(np.float32)
        modalities[name] = Modality(np.where(mask[..., None], values, np.nan), mask)
    return Batch(modalities, {name: np.ones(rows, bool) for name in modalities})


@pytest.fixture(scope="module")
def predictor():
    data = short(8)
    params = lddu.LDDU(CONFIG.model).init(jax.random.key(0), data)["params"]
    half = np.full(2, 0.5)
    params = jax.tree.map(lambda x: x[None], params)
    return lddu.Predictor(
        CONFIG, params, fit_normalizer(data), half, Identity(), np.asarray(0.5), half, ()
    )


@pytest.fixture
def seen(monkeypatch):
    """Packs however light the work is; lists the rows of each device call's packing."""
    monkeypatch.setattr(stream, "_LIGHT", 0.0)
    planned, run, forward = [], [], inference.forward

    class Recording(stream.StreamPacker):
        def __call__(self, batch):
            found = super().__call__(batch)
            planned.append({name: p.rows for name, p in found.items()})
            return found

    def recording(model):
        def call(params, normalizer, batch, packed):
            run.append({name: p.rows for name, p in packed.items()})
            return forward(model)(params, normalizer, batch, packed)

        return call

    monkeypatch.setattr(inference, "StreamPacker", Recording)
    monkeypatch.setattr(inference, "forward", recording)
    yield planned
    # Two threads run what is planned in order.
    assert sorted(map(str, run[-len(planned) :])) == sorted(map(str, planned))


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)


def test_light_work_is_not_packed(predictor, monkeypatch):
    monkeypatch.setattr(stream, "first_fit", None)  # would fail if it were called
    assert predictor.predict(short(200), batch_size=16).probs.shape == (200, 2)


def test_packed_predictions_equal_padded_ones(predictor, seen, monkeypatch):
    data = short(192)
    got = predictor.predict(data, batch_size=16)
    assert len(seen) == 12
    assert all(set(rows) == {"x", "y"} and max(rows.values()) <= 13 for rows in seen)
    seen.clear()
    monkeypatch.setattr(stream, "_LIGHT", np.inf)
    close(got, predictor.predict(data, batch_size=16))
    assert not any(seen)


def test_a_stream_is_packed_once_its_needs_are_known(predictor, seen):
    data = short(300, seed=1)
    parts = [take(data, slice(i, i + 10)) for i in range(0, 300, 10)]
    got = list(predictor.predict_batches(parts, batch_size=20))
    assert [bool(rows) for rows in seen] == [False] * 8 + [True] * 7
    want = predictor.predict(data, batch_size=20)
    close([p.probs for p in got], [want.probs[i : i + 10] for i in range(0, 300, 10)])


def test_nothing_compiles_after_two_shapes(predictor, seen):
    model = config.replace(CONFIG, {"model.variance_floor": 4e-4})  # compilations of its own
    fresh = dataclasses.replace(predictor, config=model)
    data = [short(10, seed=n) for n in range(30)]
    # The longest come last: a batch of them does not fit into the rows that sufficed before.
    full = jax.tree.map(np.array, short(20))
    full.modalities["x"].mask[:] = True
    full.modalities["x"].values[:] = 0.5
    list(fresh.predict_batches([*data, full, *data], batch_size=20))
    shapes = {tuple(rows.items()) for rows in seen}
    assert len(shapes) == 2
    assert () in shapes
    assert seen[15] == {}
