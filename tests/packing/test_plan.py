import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lddu import config
from lddu.config import ModalityConfig
from lddu.packing.plan import Packer, first_fit, lengths, widths
from lddu.packing.structs import Rows
from lddu.structs import Batch, Modality

WIDTH = 8


@st.composite
def batches_of_lengths(draw, most=9):
    size = draw(st.integers(1, most))
    width = draw(st.integers(1, 20))
    shape = (draw(st.integers(1, 3)), size)
    return draw(hnp.arrays(np.int64, shape, elements=st.integers(0, width))), width


def fewest(sizes, width):
    """The fewest rows, by trying everything."""
    sizes = sorted((s for s in sizes if s), reverse=True)

    def search(i, free):
        if i == len(sizes):
            return len(free)
        options = [search(i + 1, (*free, width - sizes[i]))]
        for row in {f: k for k, f in enumerate(free) if f >= sizes[i]}.values():
            options.append(search(i + 1, (*free[:row], free[row] - sizes[i], *free[row + 1 :])))
        return min(options)

    return search(0, ())


def occupied(slots, sizes, width):
    """The rows that are used; checks that every sample lies within one, apart from all others."""
    taken = []
    for slot, size in zip(slots, sizes, strict=True):
        if size:
            assert slot >= 0
            assert slot // width == (slot + size - 1) // width, "crosses a row"
            taken.extend(range(slot, slot + size))
    assert len(set(taken)) == len(taken) == sum(sizes), "samples overlap"
    return {place // width for place in taken}


# ---- first fit ----------------------------------------------------------------------------------


@given(batches_of_lengths())
def test_every_sample_has_a_place_of_its_own_within_a_row(case):
    sizes, width = case
    slots, rows = first_fit(sizes, width)
    assert slots.shape == sizes.shape
    assert slots.dtype == np.int32
    for s in range(len(sizes)):
        assert occupied(slots[s], sizes[s], width) == set(range(rows[s]))


@given(batches_of_lengths(40))
def test_rows_are_few_in_large_batches(case):
    sizes, width = case
    _, rows = first_fit(sizes, width)
    total = sizes.sum(1)
    assert (rows >= -(-total // width)).all()
    # No two rows could be one, so two rows together hold more than one.
    assert (rows <= 2 * total / width + 1).all()


@given(batches_of_lengths(6))
@settings(max_examples=60)
def test_rows_are_near_the_fewest_possible(case):
    sizes, width = case
    _, rows = first_fit(sizes, width)
    for found, one in zip(rows, sizes, strict=True):
        best = fewest(one.tolist(), width)
        assert best <= found <= 11 / 9 * best + 1


@given(batches_of_lengths(30))
def test_equals_the_algorithm_as_it_is_written(case):
    sizes, width = case
    slots, _ = first_fit(sizes, width)
    for one, got in zip(sizes, slots, strict=True):
        used = []
        for b in sorted(range(len(one)), key=lambda b: -one[b]):
            if not one[b]:
                continue
            row = next((r for r, u in enumerate(used) if u + one[b] <= width), len(used))
            used.extend([0] * (row == len(used)))
            assert got[b] == row * width + used[row]
            used[row] += one[b]


def test_by_hand():
    slots, rows = first_fit(np.array([[2, 5, 3, 0, 4]]), 6)
    # 5 | 4 + 2 | 3
    assert rows.tolist() == [3]
    assert slots[0, [1, 4, 0, 2]].tolist() == [0, 6, 10, 12]


# ---- lengths ------------------------------------------------------------------------------------


def make(sizes, present=None, width=WIDTH, stride=1, length=None, **options):
    """A set of two modalities with (N,) steps each, and the model's configuration."""
    modalities, streams = {}, []
    for name, steps in sizes.items():
        mask = np.arange(width) < np.asarray(steps)[:, None]
        modalities[name] = Modality(np.zeros((*mask.shape, 1), np.float32), mask)
        streams.append(ModalityConfig(name, 1, length or width, stride))
    here = {name: np.ones(len(steps), bool) for name, steps in sizes.items()}
    cfg = config.replace(config.tiny(streams, ["a"]), {f"model.{k}": v for k, v in options.items()})
    return Batch(modalities, {**here, **(present or {})}), cfg.model


@pytest.mark.parametrize(
    ("stride", "want"), [(1, [0, 1, 5, 8, 7, 0]), (2, [0, 1, 3, 4, 4, 0]), (3, [0, 1, 2, 3, 3, 0])]
)
def test_lengths_reach_to_the_last_real_step_in_strides(stride, want):
    present = np.array([True] * 5 + [False])
    batch, cfg = make({"x": [0, 1, 5, 8, 0, 4]}, {"x": present}, stride=stride)
    batch.modalities["x"].mask[4, [2, 6]] = True  # gaps count
    batch.modalities["x"].mask[2, :3] = False
    assert lengths(batch, cfg)["x"].tolist() == want
    assert widths(batch, cfg) == {"x": -(-WIDTH // stride)}


# ---- plans --------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
SHORT = RNG.integers(0, 4, 40)


def trial(rows=40, batches=30, size=10):
    return np.random.default_rng(1).integers(rows, size=(batches, size))


def checked(rows, packing, sizes, width=WIDTH):
    """Checks the packing of a batch."""
    used = occupied(np.asarray(packing.slots), np.asarray(sizes)[rows], width)
    assert max(used, default=0) < packing.rows


def test_short_samples_are_packed_and_long_ones_are_not():
    batch, cfg = make({"x": SHORT, "y": np.full(40, WIDTH), "z": np.full(40, WIDTH - 2)})
    packer = Packer(batch, cfg, trial())
    assert [set(size) for size in packer.sizes] == [{"x"}]
    # 1.5 steps of 8 on average: about two rows for ten samples.
    assert 2 <= packer.sizes[0]["x"] <= 4
    for rows, at in packer.calls(trial(batches=5)):
        assert set(rows.packing) == {"x"}
        checked(rows.index, rows.packing["x"], SHORT)
        np.testing.assert_array_equal(rows.index, trial(batches=5)[at])


def test_a_batch_is_packed_only_where_it_saves_enough_rows():
    # Halves, in pairs: 5 of 10 rows. Two thirds do not share: 10 of 10.
    for steps, packed in ((4, True), (5, False)):
        batch, cfg = make({"x": np.full(40, steps)})
        assert bool(Packer(batch, cfg, trial()).sizes[0]) == packed


@pytest.mark.parametrize("how", ["no masks", "no trial"])
def test_nothing_is_packed_where_it_must_not_be(how):
    batch, cfg = make({"x": SHORT}, mask_padding=how != "no masks")
    packer = Packer(batch, cfg, trial()[: 0 if how == "no trial" else None])
    assert packer.sizes == [{}]
    for together in (1, 2):
        calls = list(packer.calls(trial(batches=3), together))
        assert all(rows.packing == {} for rows, _ in calls)


@pytest.mark.parametrize("together", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("members", [(), (2,)])
def test_calls_cover_every_step_once_and_in_order(together, members):
    batch, cfg = make({"x": SHORT, "y": SHORT[::-1]})
    packer = Packer(batch, cfg, trial())
    index = np.random.default_rng(2).integers(40, size=(*members, 7, 10))
    calls = list(packer.calls(index, together))
    steps, found = np.arange(7), []
    for rows, at in calls:
        assert isinstance(rows, Rows)
        np.testing.assert_array_equal(rows.index, index[..., at, :])
        assert set(rows.packing) == {"x", "y"}
        for name, sizes in (("x", SHORT), ("y", SHORT[::-1])):
            packing = rows.packing[name]
            assert np.shape(packing.slots) == np.shape(rows.index)
            for where in np.ndindex(rows.index.shape[:-1]):
                one = packing.replace(slots=packing.slots[where])
                checked(rows.index[where], one, sizes)
        found.extend(np.atleast_1d(steps[at]).tolist())
    assert found == list(range(7))
    whole = 7 // together if together > 1 else 0
    assert [isinstance(at, slice) for _, at in calls] == [True] * whole + [False] * (
        7 - whole * together
    )


class TestSizes:
    """Of samples 0 to 29 a row takes as many as it has steps, of samples 30 to 39 one."""

    steps = np.where(np.arange(40) < 30, 1, WIDTH)

    def packer(self, *long, quantiles=(0.5, 1.0)):
        batch, cfg = make({"x": self.steps, "y": np.ones(40)})
        index = np.stack([self.batch(n) for n in long])
        return Packer(batch, cfg, index, quantiles)

    @staticmethod
    def batch(long):
        """Ten samples, so many of them long."""
        return np.r_[np.arange(10 - long), 30 + np.arange(long)]

    @staticmethod
    def rows(calls):
        return [rows.packing["x"].rows or 0 for rows, _ in calls]

    def test_are_quantiles_of_the_needs_with_a_margin_on_the_largest(self):
        # "x" needs 2, 3, 3, 4 and 6 rows, "y" always 2.
        packer = self.packer(0, 1, 2, 3, 5)
        assert packer.sizes == [{"x": 3, "y": 2}, {"x": 7, "y": 3}]

    def test_a_batch_takes_the_first_that_it_fits_into(self):
        packer = self.packer(0, 1, 2, 3, 5)
        index = np.stack([self.batch(n) for n in (0, 2, 3, 6, 7)])
        slots, level = packer.plan(index)
        assert level.tolist() == [0, 0, 1, 1, 2]
        assert {name: x.shape for name, x in slots.items()} == {"x": (5, 10), "y": (5, 10)}
        rows = [
            {name: packing.rows for name, packing in rows.packing.items()}
            for rows, _ in packer.calls(index)
        ]
        assert rows == [packer.sizes[0]] * 2 + [packer.sizes[1]] * 2 + [{"x": None, "y": None}]

    def test_what_runs_together_takes_what_all_fit_into(self):
        packer = self.packer(0, 1, 2, 3, 5)
        index = np.stack([self.batch(n) for n in (0, 0, 0, 3, 7, 0, 0)])
        got = self.rows(packer.calls(index, 2))
        assert got == [3, 7, 0, 3]
        # Members share a program, so they share its size.
        members = np.stack([index, index[::-1]])
        got = self.rows(packer.calls(members))
        assert got == [3, 3, 0, 7, 0, 3, 3]

    def test_draws_are_keyed_by_the_plan_whether_or_not_it_is_carried_out(self):
        packed = self.packer(0, 1, 2, 3, 5)
        batch, cfg = make({"x": self.steps, "y": np.ones(40)})
        trial = np.stack([self.batch(n) for n in (0, 1, 2, 3, 5)])
        padded = Packer(batch, cfg, trial, (0.5, 1.0), carried_out=False)
        index = np.stack([self.batch(n) for n in (0, 3, 7)])  # the last one fits no size
        for (one, _), (other, _) in zip(packed.calls(index), padded.calls(index), strict=True):
            for name in ("x", "y"):
                np.testing.assert_array_equal(one.packing[name].slots, other.packing[name].slots)
                assert other.packing[name].rows is None
        np.testing.assert_array_equal(one.packing["x"].slots, WIDTH * np.arange(10))
        # Nor does it matter which steps run in one call.
        together = [rows.packing["x"].slots for rows, _ in packed.calls(index, 3)]
        alone = [rows.packing["x"].slots for rows, _ in packed.calls(index)]
        np.testing.assert_array_equal(together[0], alone)

    def test_have_at_least_a_row(self):
        # Most batches lack the modality altogether.
        here = np.arange(40) >= 30
        batch, cfg = make({"x": self.steps}, {"x": here})
        index = np.stack([self.batch(n) for n in (0, 0, 0, 1)])
        assert Packer(batch, cfg, index, (0.5, 1.0)).sizes == [{"x": 1}, {"x": 2}]
        none, cfg = make({"x": self.steps}, {"x": np.zeros(40, bool)})
        assert Packer(none, cfg, index).sizes == [{"x": 1}]


def test_a_stride_packs_windows():
    batch, cfg = make({"x": np.full(40, 4)}, stride=3, width=10)
    packer = Packer(batch, cfg, trial())
    assert packer.sizes == [{"x": 6}]  # two windows of four: two samples a row, and a margin
    for rows, _ in packer.calls(trial(batches=2)):
        checked(rows.index, rows.packing["x"], np.full(40, 2), width=4)


def test_leading_axes_are_planned_apart():
    batch, cfg = make({"x": SHORT})
    packer = Packer(batch, cfg, trial())
    index = np.random.default_rng(3).integers(40, size=(2, 3, 10))
    slots, level = packer.plan(index)
    assert level.shape == (2, 3)
    for k, s in itertools.product(range(2), range(3)):
        alone, own = packer.plan(index[k, s : s + 1])
        np.testing.assert_array_equal(slots["x"][k, s], alone["x"][0])
        assert level[k, s] == own[0]
