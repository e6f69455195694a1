"""Options of a script, stored beside the data: read as a dict, never as an object."""

import argparse
import pickle

import numpy as np
import pytest

from lddu.data.formats import UnsafePickleError, load_pickle, load_torch

NAME = "argparse.Namespace"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_namespace_is_a_dict(stored, protocol):
    options = argparse.Namespace(max_text_seq_len=60, path="x", nested=argparse.Namespace(a=[1]))
    content = {"settings": options, "again": options, "x": np.arange(3), "none": {}}
    found = load_pickle(stored(pickle.dumps(content, protocol)))
    assert found["settings"] == {"max_text_seq_len": 60, "path": "x", "nested": {"a": [1]}}
    assert type(found["settings"]) is dict
    assert found["again"] is found["settings"]
    assert found["x"].tolist() == [0, 1, 2]


def test_an_empty_namespace_is_an_error(stored):
    # A pickler writes no content for it; scripts have no reason to store one.
    with pytest.raises(ValueError, match="lacks its content"):
        load_pickle(stored(pickle.dumps([argparse.Namespace()])))


def test_files_of_torch_may_hold_one(stored, write):
    call = write.Call(NAME, (), {"lr": 0.5})
    assert load_torch(stored(write.zip_file({"settings": call})))["settings"] == {"lr": 0.5}


@pytest.mark.parametrize(
    "state",
    [[1], 3, None, "text", {1: 2}, {b"a": 1}, ({}, {"a": 1}), (None, {"__class__": 1})],
)
def test_other_states_are_an_error(stored, write, state):
    # `Call` writes no state for None: a call without its content.
    with pytest.raises(ValueError, match=r"file\.pkl cannot be read"):
        load_pickle(stored(write.dumps(write.Call(NAME, (), state))))


def test_arguments_are_an_error(stored, write):
    with pytest.raises(ValueError, match=r"file\.pkl cannot be read"):
        load_pickle(stored(write.dumps(write.Call(NAME, (1,), {"a": 1}))))
    with pytest.raises(UnsafePickleError, match="keyword"):
        load_pickle(stored(b"\x80\x04cargparse\nNamespace\n)}\x8c\x01aK\x01s\x92."))


def test_names_of_the_state_are_keys_and_never_attributes(stored, write):
    state = {"__class__": "x", "__dict__": {"y": 1}, "keys": "z", "__reduce__": "os.system"}
    found = load_pickle(stored(write.dumps(write.Call(NAME, (), state))))
    assert type(found) is dict
    assert found == state
    assert callable(found.keys)


def test_a_second_state_is_refused(stored):
    with pytest.raises(UnsafePickleError, match="asks to set attributes of a dict"):
        load_pickle(stored(b"\x80\x02cargparse\nNamespace\n)\x81}X\x01\x00\x00\x00aK\x01sb}b."))


def test_one_that_contains_itself_is_an_error(stored):
    options = argparse.Namespace()
    options.me = options
    with pytest.raises(ValueError, match="contains itself"):
        load_pickle(stored(pickle.dumps(options)))


@pytest.mark.parametrize(
    "name", ["argparse.ArgumentParser", "argparse.FileType", "argparse._os.system"]
)
def test_nothing_else_of_argparse_is_known(stored, write, name):
    with pytest.raises(UnsafePickleError, match=name):
        load_pickle(stored(write.dumps([write.Ref(name)], 4)))


def test_the_class_alone_is_its_name(stored, write):
    assert load_pickle(stored(write.dumps([write.Ref(NAME)]))) == [NAME]
