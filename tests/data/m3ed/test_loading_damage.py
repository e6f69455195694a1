"""Files cut, bent, forged or hostile: an error that names the file, or the right data."""

import copy
import itertools
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lddu.data import m3ed
from lddu.data.formats import UnsafePickleError

FUZZ = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text(max_size=3),
    st.floats(),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just([[1], [2, 3]]),
    st.just({"sa_1": 3}),
    st.just({1: 2}),
    st.just(np.array(3.0)),
    st.just(np.zeros((0, 4))),
    st.just(np.zeros((2, 3, 4))),
    st.just(np.array([None, "a"], object)),
    st.just(np.array(["a", "b"])),
    st.just(b"bytes"),
)


def check_same(found, expected):
    for name, split in expected.splits().items():
        other = found.splits()[name]
        np.testing.assert_array_equal(other.batch.labels, split.batch.labels)
        for modality, m in split.batch.modalities.items():
            np.testing.assert_array_equal(other.batch.modalities[modality].values, m.values)
            np.testing.assert_array_equal(other.batch.modalities[modality].mask, m.mask)


def check_sound(data):
    """What holds of every data set, whatever it was read from."""
    for split in data.splits().values():
        count = len(split.ids)
        assert count
        assert len(set(split.ids.tolist())) == count
        assert split.batch.labels.shape == (count, 7)
        assert np.isin(split.batch.labels, (0, 1)).all()
        for modality in split.batch.modalities.values():
            assert np.isfinite(modality.values).all()
            assert (
                modality.mask.shape == modality.values.shape[:2] == (count, modality.mask.shape[1])
            )


def attempt(path, task="dialogue"):
    """The data, or None where a ValueError names a file."""
    message = ""
    try:
        return m3ed.load(path, task=task, cache=None, progress=False)
    except ValueError as error:
        message = str(error)
    assert any(name in message for name in (path.name, "annotation.json", "movie_list")), message
    return None


@FUZZ
@given(data=st.data())
def test_cut_and_changed_bytes(world, tmp_path, data):
    folder = world.save(tmp_path / "m")
    path = folder / "features.pkl"
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(content), 3000) - 1))
            content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    found = attempt(path, data.draw(st.sampled_from(["dialogue", "utterance"])))
    if found is not None:
        check_sound(found)


@FUZZ
@given(data=st.data())
def test_junk_anywhere_in_the_pickle(pristine, tmp_path, data):
    world = copy.deepcopy(pristine)
    value = data.draw(junk)
    place = data.draw(st.integers(0, 9))
    deep = place < 7 and data.draw(st.booleans())
    if deep:
        world.items[place]["sa_1"] = value
    else:
        world.items[place] = value
    folder = world.save(tmp_path / "m", lists=data.draw(st.booleans()))
    found = attempt(folder / "features.pkl", data.draw(st.sampled_from(["dialogue", "utterance"])))
    if found is not None:
        check_sound(found)


# Features are told apart by width; speakers and sentences are only counted.
HARMLESS = [(1, 6), (3, 4), (3, 5), (4, 5)]


@pytest.mark.parametrize("pair", list(itertools.combinations(range(10), 2)), ids=str)
def test_items_that_changed_places(world, load, pair):
    expected = load(world, lists=False)
    i, j = pair
    world.items[i], world.items[j] = world.items[j], world.items[i]
    if pair in HARMLESS:
        check_same(load(world, lists=False), expected)
    elif i >= 7:  # splits; nothing in the file says which is which, and splitInfo does
        check_same(load(world), expected)
    else:
        with pytest.raises(ValueError, match=r"features\.pkl"):
            load(world, lists=False)


@FUZZ
@given(data=st.data())
def test_junk_anywhere_in_the_annotation(pristine, tmp_path, data):
    world = copy.deepcopy(pristine)
    value = data.draw(junk.filter(lambda v: not isinstance(v, np.ndarray | bytes)))
    at, steps = world.annotation, data.draw(st.integers(0, 5))
    for key in ("sa", "sa_1", "Dialog", "sa_1_1", "EmoAnnotation")[:steps]:
        at = at[key]
    at[data.draw(st.sampled_from(sorted(at)))] = value
    folder = world.save(tmp_path / "m")
    found = attempt(folder / "features.pkl", data.draw(st.sampled_from(["dialogue", "utterance"])))
    if found is not None:
        check_sound(found)


@FUZZ
@given(data=st.data())
def test_junk_anywhere_in_carats_file(carat, tmp_path, save_torch, data):
    content = {split: dict(part) for split, part in carat.items()}
    value = data.draw(junk)
    if data.draw(st.integers(0, 4)):
        part = content[data.draw(st.sampled_from(["train", "valid", "test"]))]
        key = data.draw(st.sampled_from(sorted(part)))
        if isinstance(part[key], list) and data.draw(st.booleans()):
            part[key] = [value, *part[key][1:]]
        else:
            part[key] = value
    else:
        content[data.draw(st.sampled_from(["train", "valid", "test"]))] = value
    found = attempt(save_torch(tmp_path / "m3ed.pt", content))
    if found is not None:
        check_sound(found)


@pytest.mark.parametrize("size", [0, 9, 11, 30])
def test_a_list_of_other_items_is_named(world, load, size):
    world.items = (world.items * 3)[:size]
    with pytest.raises(
        ValueError, match=rf"features\.pkl: a list of {size} items, expected 10: utt"
    ):
        load(world)


@pytest.mark.parametrize("content", [{}, {"a": 1}, 3, "text", None, np.zeros(3)])
def test_other_content_is_named(tmp_path, load, content):
    path = tmp_path / "f.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"f\.pkl holds a .* needs the authors' feature pickle"):
        load(path)


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", range(10))
def test_nothing_in_a_file_is_run(world, load, tmp_path, save_torch, carat, place):
    world.items[place] = Attack(tmp_path / "sentinel")
    with pytest.raises(UnsafePickleError, match=r"features\.pkl asks for '\w+\.mkdir'"):
        load(world)
    carat["train"]["tgt"] = Attack(tmp_path / "sentinel")
    with pytest.raises(UnsafePickleError, match=r"c\.pt asks for '\w+\.mkdir'"):
        load(save_torch(tmp_path / "c.pt", carat))
    assert not (tmp_path / "sentinel").exists()
