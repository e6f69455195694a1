import dataclasses

import numpy as np
import pytest

from lddu import config
from lddu.data.batching import take
from lddu.packing import stream
from lddu.packing.stream import StreamPacker
from lddu.structs import Batch, Modality

WIDTH = 8


def batches_that_need(*rows, modalities=("x",)):
    """A set, and its model, whose batches of ten full or missing sequences need so many rows."""
    here = np.concatenate([np.arange(10) < n for n in rows])
    values, mask = np.zeros((here.size, WIDTH, 1), np.float32), np.ones((here.size, WIDTH), bool)
    batch = Batch(
        {name: Modality(values, mask) for name in modalities}, {name: here for name in modalities}
    )
    return batch, config.tiny(dict.fromkeys(modalities, (1, WIDTH)), ["a"]).model


@pytest.fixture
def any_work(monkeypatch):
    monkeypatch.setattr(stream, "_LIGHT", 0.0)


@pytest.mark.parametrize(
    ("needs", "rows"),
    [
        ((4,) * 12 + (5,) * 4, 5),  # 5 for all is less than 4 for most and 10 for one
        ((4,) * 15 + (8,), 4),
        ((4,) * 8 + (6,) * 8, 6),
        ((9,) * 16, None),  # not worth it
    ],
)
def test_a_set_that_is_known_has_the_rows_of_least_work(any_work, needs, rows):
    batch, cfg = batches_that_need(*needs)
    packer = StreamPacker(cfg, 10)
    packer.look(batch)
    for i, need in enumerate(needs):
        found = packer(take(batch, slice(10 * i, 10 * i + 10)))
        assert [p.rows for p in found.values()] == ([rows] if rows and need <= rows else [])


def test_a_batch_that_fits_in_one_modality_only_stays_padded(any_work):
    # Each modality alone would do with 4 rows, but then no batch would fit in both.
    one, cfg = batches_that_need(*(4, 6) * 8, modalities=("x", "y"))
    order = np.arange(160).reshape(16, 10)[np.arange(16) ^ 1].ravel()
    other = take(one, order)
    batch = one.replace(
        modalities={"x": one.modalities["x"], "y": other.modalities["y"]},
        present={"x": one.present["x"], "y": other.present["y"]},
    )
    packer = StreamPacker(cfg, 10)
    packer.look(batch)
    found = packer(take(batch, slice(10)))
    assert {name: p.rows for name, p in found.items()} == {"x": 6, "y": 6}


def test_a_set_that_is_unknown_has_a_margin(any_work):
    batch, cfg = batches_that_need(*(4,) * 12)
    packer = StreamPacker(cfg, 10)
    packer.look(take(batch, slice(50)))  # too few to tell
    found = [packer(take(batch, slice(10 * i, 10 * i + 10))) for i in range(12)]
    assert found[:8] == [{}] * 8
    assert [p["x"].rows for p in found[8:]] == [5] * 4


def test_what_does_not_fit_or_does_not_pay_stays_padded(any_work):
    batch, cfg = batches_that_need(*(4,) * 8, 10, 4)
    packer = StreamPacker(cfg, 10)
    found = [packer(take(batch, slice(10 * i, 10 * i + 10))) for i in range(10)]
    assert [bool(p) for p in found] == [False] * 9 + [True]
    occupied = found[-1]["x"].slots[batch.present["x"][90:]] // WIDTH
    assert sorted(occupied.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("why", ["disabled", "no masks", "light"])
def test_nothing_is_packed_where_it_must_not_be(monkeypatch, why):
    monkeypatch.setattr(stream, "_LIGHT", np.inf if why == "light" else 0.0)
    batch, cfg = batches_that_need(*(4,) * 16)
    cfg = dataclasses.replace(cfg, mask_padding=why != "no masks")
    packer = StreamPacker(cfg, 10, enabled=why != "disabled")
    packer.look(batch)
    assert all(packer(take(batch, slice(10 * i, 10 * i + 10))) == {} for i in range(16))


def test_each_padded_length_has_rows_of_its_own(any_work):
    batch, cfg = batches_that_need(*(4,) * 16)
    x = batch.modalities["x"]
    # Half of the padding is cut off, and each sequence is as short as a row of two.
    halves = batch.replace(
        modalities={"x": Modality(x.values[:, :4], x.mask[:, :4] & (np.arange(4) < 2))}
    )
    packer = StreamPacker(cfg, 10)
    packer.look(batch)
    packer.look(halves)
    first = slice(10)
    assert packer(take(batch, first))["x"].rows == 4
    assert packer(take(halves, first))["x"].rows == 2
