"""Predictions with several samples per row equal those without, in two compiled shapes."""

import functools

import chex
import jax
import numpy as np
import pytest

from lddu import config
from lddu.data.batching import take
from lddu.packing import stream
from lddu.predictor import network
from lddu.structs import Batch, Modality

CONFIG = config.replace(
    config.tiny({"x": (3, 12), "y": (5, 6)}, ["a", "b"]),
    {"model.encoder.hidden": 4, "model.encoder.feed_forward": 4, "train.members": 1},
)
SIZE = 20  # rows per device call


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
def predictor(make_toy):
    return make_toy(CONFIG, short(8))


@pytest.fixture
def seen(monkeypatch):
    """Packs however light the work is; lists the rows of each device call's packing."""
    monkeypatch.setattr(stream, "_LIGHT", 0.0)
    planned, run, compiled = [], [], network.compiled_forward

    class Recording(stream.StreamPacker):
        def __call__(self, batch):
            found = super().__call__(batch)
            planned.append({name: p.rows for name, p in found.items()})
            return found

    def recording(*key):
        def call(params, normalizer, batch, packed):
            run.append({name: p.rows for name, p in packed.items()})
            return compiled(*key)(params, normalizer, batch, packed)

        return call

    monkeypatch.setattr(network, "StreamPacker", Recording)
    monkeypatch.setattr(network, "compiled_forward", recording)
    yield planned
    # Two threads run what is planned in order.
    assert sorted(map(str, run[-len(planned) :])) == sorted(map(str, planned))


close = functools.partial(chex.assert_trees_all_close, rtol=1e-4, atol=1e-5)


def test_light_work_is_not_packed(predictor, monkeypatch):
    monkeypatch.setattr(stream, "first_fit", None)  # would fail if it were called
    assert predictor.predict(short(200), batch_size=SIZE).probs.shape == (200, 2)


def test_packed_predictions_equal_padded_ones(predictor, seen, monkeypatch):
    data = short(200)
    got = predictor.predict(data, batch_size=SIZE)
    assert len(seen) == 10
    assert sum(set(rows) == {"x", "y"} for rows in seen) >= 9  # by least work, one may not fit
    assert max(n for rows in seen for n in rows.values()) < SIZE
    monkeypatch.setattr(stream, "_LIGHT", np.inf)
    close(got, predictor.predict(data, batch_size=SIZE))
    assert not any(seen[10:])


def test_a_stream_is_packed_once_its_needs_are_known(predictor, seen):
    data = short(300, seed=1)
    parts = [take(data, slice(i, i + 10)) for i in range(0, 300, 10)]
    got = list(predictor.predict_batches(parts, batch_size=SIZE))
    assert [bool(rows) for rows in seen] == [False] * 8 + [True] * 7
    want = predictor.predict(data, batch_size=SIZE)
    close([p.probs for p in got], [want.probs[i : i + 10] for i in range(0, 300, 10)])


def test_nothing_compiles_after_two_shapes(predictor, seen):
    data = [short(10, seed=n) for n in range(30)]
    # The longest come last: a batch of them does not fit into the rows that sufficed before.
    full = jax.tree.map(np.array, short(SIZE))
    full.modalities["x"].mask[:] = True
    full.modalities["x"].values[:] = 0.5
    list(predictor.predict_batches([*data, full, *data], batch_size=SIZE))
    shapes = {tuple(rows.items()) for rows in seen}
    assert len(shapes) == 2
    assert () in shapes
    assert seen[15] == {}
