"""What `write_table` writes, `load_table` reads back."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lddu
from lddu.data import load_table, write_table
from lddu.data.card import Card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.structs import Batch, Modality

# Texts as people and programs write them: quotes, commas, line ends, spaces, any alphabet.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ID = TEXT.filter(lambda text: text.strip())
NAME = st.from_regex(r"[a-zäß_ ,;\"'/.]{1,8}", fullmatch=True)


@st.composite
def datasets(draw):
    """A data set with every optional part drawn or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = draw(st.lists(st.integers(1, 4), min_size=3, max_size=3))
    ids = np.array(draw(st.lists(ID, min_size=sum(sizes), max_size=sum(sizes), unique=True)))
    labels = tuple(draw(st.lists(NAME, min_size=1, max_size=3, unique=True)))
    modalities = draw(st.lists(NAME, min_size=1, max_size=3, unique=True))
    widths = {name: int(rng.integers(1, 4)) for name in modalities}
    soft, grouped, weighted, unknown = (draw(st.booleans()) for _ in range(4))
    groups = np.array(draw(st.lists(ID, min_size=sum(sizes), max_size=sum(sizes))))
    splits, start = {}, 0
    for split, size in zip(SPLITS, sizes, strict=True):
        here = slice(start, start + size)
        start += size
        values = rng.random((size, len(labels))).astype(np.float32)
        if unknown:
            values[1:][rng.random((size - 1, len(labels))) < 0.4] = np.nan
        # Hard labels that do not follow from the soft ones, such as the majority of a larger vote.
        hard = np.where(np.isnan(values), np.nan, values >= rng.choice([0.3, 0.5])).astype("f4")
        batch = Batch(
            {name: sequences(rng, size, width) for name, width in widths.items()},
            {name: rng.random(size) < 0.8 for name in widths},
            hard,
            rng.random(size).astype(np.float32) if weighted else None,
        )
        splits[split] = Split(
            batch, ids[here], values if soft else None, groups[here] if grouped else None
        )
    return Dataset(**splits, labels=labels, card=Card("drawn", "", "", (), {}, {}, ()))


def sequences(rng, size, width):
    longest = int(rng.integers(1, 5))
    mask = np.arange(longest) < rng.integers(0, longest + 1, size)[:, None]
    values = rng.normal(size=(size, longest, width)) * 10.0 ** rng.integers(-30, 30)
    return Modality(values.astype(np.float32), mask)


def real(batch, name, row):
    """The real steps of one sample."""
    return batch.modalities[name].values[row][batch.effective_mask(name)[row]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@given(data=datasets())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_round_trip(tmp_path_factory, suffix, data):
    path = write_table(tmp_path_factory.mktemp("table") / f"samples.{suffix}", data)
    loaded = load_table(path.parent)
    assert loaded.labels == data.labels
    assert loaded.card.name == "drawn"
    for split, before in data.splits().items():
        after = loaded.splits()[split]
        assert after.ids.tolist() == before.ids.tolist()
        np.testing.assert_array_equal(after.batch.labels, before.batch.labels)
        np.testing.assert_array_equal(
            after.soft_batch().labels, before.soft_batch().labels, strict=True
        )
        for a, b in [(after.groups, before.groups), (after.batch.weight, before.batch.weight)]:
            assert (a is None) == (b is None)
            np.testing.assert_array_equal(a, b)
        assert list(after.batch.modalities) == list(before.batch.modalities)
        for name in before.batch.modalities:
            for row in range(before.batch.size):
                expected = real(before.batch, name, row)
                assert after.batch.present[name][row] == (len(expected) > 0)
                np.testing.assert_array_equal(real(after.batch, name, row), expected)


def test_a_second_writing_is_the_same(tmp_path, ragged):
    ids, sequences = ragged
    batch = lddu.data.from_sequences({"a": sequences[:4]}, np.array([[1, 0.5], [0, 0.2]] * 2))
    splits = {name: Split(batch, np.array([f"{name}{i}" for i in ids[:4]])) for name in SPLITS}
    first = write_table(tmp_path / "one" / "t.csv", splits, ("x", "y"))
    second = write_table(tmp_path / "two" / "t.csv", load_table(first))
    assert first.read_bytes() == second.read_bytes()
    content = json.loads((tmp_path / "one" / "dataset.json").read_text())
    assert content["modalities"] == {"a": {"file": "a.npz", "features": 3}}


def test_what_cannot_be_written_is_an_error(tmp_path, ragged):
    batch = lddu.data.from_sequences({"a": ragged[1][:2]}, np.eye(2))
    splits = {name: Split(batch, np.array([f"{name}1", f"{name}2"])) for name in SPLITS}
    with pytest.raises(ValueError, match=r"t\.txt: unknown suffix, expected \.csv or \.parquet"):
        write_table(tmp_path / "t.txt", splits, ("x", "y"))
    with pytest.raises(ValueError, match="labels: give the names of the labels"):
        write_table(tmp_path / "t.csv", splits)
    for names in (("x", "x"), ("id", "x"), ("", "x")):
        with pytest.raises(ValueError, match="names must be unique and none of"):
            write_table(tmp_path / "t.csv", splits, names)
    twice = {name: Split(batch, np.array(["a", "b"])) for name in SPLITS}
    with pytest.raises(ValueError, match="ids are not unique over the splits"):
        write_table(tmp_path / "t.csv", twice, ("x", "y"))
    assert not list(tmp_path.glob("t.*"))
