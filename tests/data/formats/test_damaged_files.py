"""Cut and altered files: an error or data, never anything else."""

import os
import pickle
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lddu.data.formats import load_pickle, load_torch

PLAIN = {
    "a": np.arange(3.0),
    "objects": np.array(["x", None, [1]], object),
    "records": np.zeros(2, [("x", "f4"), ("y", ">U2")]),
    "time": np.array([1], "M8[ms]"),
    "list": [1, 2.5, "é", b"raw", bytearray(b"z"), {1}, 2**70, np.float32(3), 1j, None, True],
    "more": (OrderedDict(a=1), defaultdict(int, {"k": 2}), frozenset([3]), range(3)),
}
DATA = (
    *(dict, OrderedDict, defaultdict, list, tuple, set, frozenset, str, bytes, bytearray),
    *(int, float, complex, bool, type(None), slice, range, np.ndarray, np.generic, np.dtype),
)


def files(write) -> list[bytes]:
    tensors = {
        "w": write.whole_tensor(np.arange(6, dtype="f4").reshape(2, 3).T, "0"),
        "n": [write.whole_tensor(np.arange(3), "1"), np.arange(2), "text"],
    }
    return [
        *(pickle.dumps(PLAIN, protocol) for protocol in (0, 2, 4, 5)),
        write.zip_file(tensors),
        write.zip_file(tensors, compression=zipfile.ZIP_DEFLATED),
        write.legacy_file(tensors),
    ]


def check_data(value) -> None:
    """Requires that all in `value` is data, and reads the ends of its arrays."""
    seen, rest = set(), [value]
    while rest:
        value = rest.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        assert isinstance(value, DATA), type(value)
        if isinstance(value, dict):
            rest += [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            rest += value
        elif isinstance(value, np.ndarray) and value.size:
            first, last = (0,) * value.ndim, (-1,) * value.ndim
            # The ends only: a stride of 0 lets few bytes have a huge shape.
            if value.dtype == object:
                rest += [value[first], value[last]]
            else:
                assert all(isinstance(value[end], np.generic) for end in (first, last))


def reads(load, path) -> None:
    try:
        value = load(path)
    except ValueError as raised:
        error = str(raised)
    else:
        return check_data(value)
    assert path.name in error


def test_the_files_are_read(write, stored):
    for which, content in enumerate(files(write)):
        found = load_torch(stored(content))
        check_data(found)
        if which < 4:
            assert repr(found) == repr(PLAIN)
        else:
            assert found["w"].tolist() == [[0, 3], [1, 4], [2, 5]]
            assert [list(items) for items in found["n"][:2]] == [[0, 1, 2], [0, 1]]


@pytest.mark.parametrize("which", range(4, 7))
def test_every_cut_is_an_error(write, stored, which):
    content = files(write)[which]
    path = stored(content, "file.pt")
    # From the end on, so that one file serves.
    for end in reversed(range(len(content))):
        os.truncate(path, end)
        with pytest.raises(ValueError, match=r"file\.pt"):
            load_torch(path)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    which=st.integers(0, 6),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.floats(0, 1),
)
def test_altered_bytes(write, stored, which, changes, cut):
    content = bytearray(files(write)[which])
    for where, byte in changes:
        content[int(where * (len(content) - 1))] = byte
    content = bytes(content[: int(cut * len(content))] if cut is not None else content)
    path = stored(content)
    reads(load_torch, path)
    reads(load_pickle, path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60))
def test_any_bytes(stored, content):
    for start in (b"", b"\x80\x02", b"cnumpy\ndtype\n(", b"cnumpy\nndarray\n"):
        path = stored(start + content + b".")
        reads(load_torch, path)
