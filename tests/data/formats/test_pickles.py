import io
import os
import pickle
import tracemalloc
from collections import OrderedDict, defaultdict

import ml_dtypes
import numpy as np
import pytest

from lddu.data.formats import load_pickle

PROTOCOLS = range(6)
RECORDS = np.array([(1.5, [1, 2], "äb")], [("x", "f4"), ("y", ">i8", (2,)), ("z", "U3")])
VALUES = {
    "numbers": [0, 1, 255, 65536, -1, 2**40, -(2**70), 2**3000, 0.1, -np.inf, 1j, True, False],
    "text": ["", "é", "𝔊", "\ud800", "it's\n\\x", "x" * 300, b"", b"\xff\n", b"y" * 300],
    "bytearray": bytearray(b"a\x00\xff"),
    "containers": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, set(), {1, "a"}, None],
    "nested": {"train": {"ids": ["a", ("b", [1, {2: 3}])]}, 3: frozenset([1, (2,)])},
    "ordered": OrderedDict([("z", 1), ("a", 2)]),
    "default": [defaultdict(kind, {1: 2}) for kind in (list, dict, int, float, set, str)],
    "no default": defaultdict(None, {1: 2}),
    "ranges": [slice(1, None, 2), range(3, 9, 2)],
}
ARRAYS = {
    "f4": np.arange(6, dtype="f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "permuted": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(10)[::3],
    "big-endian": np.arange(3, dtype=">i2"),
    "scalar shape": np.array(2.5),
    "empty": np.zeros((0, 3), "i1"),
    "bool": np.array([True, False]),
    "complex": np.array([1 + 2j], "c8"),
    "half": np.array([1, 2], "f2"),
    "text": np.array(["", "äöü", "𝔊"]),
    "big-endian text": np.array(["", "äöü"]).astype(">U3"),
    "bytes": np.array([b"a", b"bcd"]),
    "times": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "durations": np.array([1, 2], "m8[25s]"),
    "records": RECORDS,
    "aligned": np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "objects": np.array(["a", None, 2**80], object),
    "bfloat16": np.array([1, 2.5], ml_dtypes.bfloat16),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(stored, name, protocol):
    found = load_pickle(stored(pickle.dumps(VALUES[name], protocol)))
    assert found == VALUES[name]
    assert repr(found) == repr(VALUES[name])  # types and order too


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back(stored, name, protocol):
    content = pickle.dumps(ARRAYS[name], protocol)
    found = load_pickle(stored(content))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert found.flags.writeable
    # NumPy turns some arrays to the machine's byte order.
    expected = pickle.loads(content)
    assert (found.dtype, found.strides) == (expected.dtype, expected.strides)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars_and_dtypes_come_back(stored, protocol):
    values = [np.float32(1.5), np.bool_(True), np.str_("é"), np.str_(""), np.datetime64(3, "s")]
    dtypes = [np.dtype(">f8"), RECORDS.dtype, np.dtype("M8[ns]"), np.dtype(object)]
    found = load_pickle(stored(pickle.dumps([*values, *dtypes], protocol)))
    assert found == [*values, *dtypes]
    assert [type(v) for v in found[: len(values)]] == [type(v) for v in values]


def test_one_object_in_two_places_stays_one(stored):
    array, items = np.arange(3), []
    items.append(items)
    found = load_pickle(stored(pickle.dumps([array, {"again": array}, items])))
    assert found[0] is found[1]["again"]
    assert found[2][0] is found[2]


def test_object_arrays_hold_lists_and_arrays_as_they_are(stored):
    expected = np.empty((2, 2), object)
    expected[:] = [[[1, 2], np.arange(3)], ["a", {"b": ()}]]
    found = load_pickle(stored(pickle.dumps(np.asfortranarray(expected))))
    assert found.shape == (2, 2)
    assert found[0, 0] == [1, 2]
    assert found[1].tolist() == ["a", {"b": ()}]
    np.testing.assert_array_equal(found[0, 1], [0, 1, 2])


def test_pickles_of_older_numpy(stored):
    content = pickle.dumps([np.arange(3.0), np.float32(2)], 2)
    assert b"numpy._core" in content
    found = load_pickle(stored(content.replace(b"numpy._core", b"numpy.core")))
    np.testing.assert_array_equal(found[0], [0, 1, 2])
    assert found[1] == 2


def test_pickles_of_python_2(stored):
    # {'caf\xe9': np.array([1, 255], 'u1'), u'k': '\x80'} in protocol 2 of Python 2.
    binary = (
        b"\x80\x02}(U\x04caf\xe9cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\xfftbX\x01\x00\x00\x00kT\x01\x00\x00\x00\x80u."
    )
    found = load_pickle(stored(binary))
    assert list(found) == ["café", "k"]
    np.testing.assert_array_equal(found["café"], np.array([1, 255], "u1"), strict=True)
    assert found["k"] == "\x80"
    # (['it\'s', "\xe9\n"], 5L, Ellipsis-free set) in protocol 0.
    text = b"((lS'it\\'s'\naS\"\\xe9\\n\"\naL5L\nc__builtin__\nset\n((lI1\natRt."
    assert load_pickle(stored(text)) == (["it's", "é\n"], 5, {1})


def test_a_reference_left_as_data_is_its_name(stored):
    found = load_pickle(stored(pickle.dumps([list, np.ndarray])))
    assert found == ["builtins.list", "numpy.ndarray"]
    again = pickle.loads(pickle.dumps(found))
    assert [type(name) for name in again] == [str, str]


LARGE = 2 << 20  # above what is read rather than mapped


@pytest.fixture
def peak():
    """Returns how many bytes Python's own memory has grown to, at most, since `reset_peak`."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_arrays_are_mapped_and_take_no_memory(stored, protocol, peak):
    rng = np.random.default_rng(0)
    arrays = {
        "f4": rng.normal(size=(LARGE // 400, 10, 10)).astype("f4"),
        "fortran": np.asfortranarray(rng.normal(size=(LARGE // 80, 10))),
        "big-endian": rng.normal(size=LARGE // 8).astype(">f8"),
        "text": np.full(LARGE // 8, "äö"),
    }
    path = stored(pickle.dumps({**arrays, "small": np.arange(3)}, protocol))
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    found = load_pickle(path)
    assert (
        peak() - before < 2.5 * LARGE
    )  # the buffer of the file, and a check of the characters of the text
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable
    assert found["small"].flags.writeable


@pytest.mark.parametrize("protocol", range(3, 6))
def test_large_bytes_that_are_no_array_are_read(stored, protocol):
    data, array = bytes(LARGE), np.zeros(LARGE, np.uint8)
    for value in (data, [data, data], {"a": (data, array)}, {data: 1}, bytearray(data)):
        found = load_pickle(stored(pickle.dumps(value, protocol)))
        assert repr(found) == repr(value)


def test_old_protocols_read_large_arrays(stored):
    array = np.arange(LARGE // 4, dtype="f4")
    for protocol in range(3):
        found = load_pickle(stored(pickle.dumps(array, protocol)))
        np.testing.assert_array_equal(found, array)


def test_a_large_array_that_is_cut_is_an_error(stored):
    path = stored(pickle.dumps(np.zeros(LARGE, np.uint8), 4))
    os.truncate(path, LARGE // 2)
    with pytest.raises(ValueError, match=r"file\.pkl.*ends early"):
        load_pickle(path)


def test_data_behind_the_pickle_are_left_alone(stored):
    assert load_pickle(stored(pickle.dumps(1) + b"more")) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_cut_is_an_error_that_names_the_file(stored, protocol):
    content = pickle.dumps({"a": [np.arange(3.0), "text", b"bytes", {1}, 2.5, 2**70]}, protocol)
    path = stored(content)
    for end in reversed(range(len(content))):
        os.truncate(path, end)
        with pytest.raises(ValueError, match=r"file\.pkl"):
            load_pickle(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends early"),
        (b"hello", "cannot be read"),
        (b"\x80\x06N.", "protocol 6"),
        (b"\x80\x04\x97.", "no opcode"),
        (b".", "IndexError"),
        (b"K\x01K\x02a.", "a int where a list belongs"),
        (b"]}]s.", "a list where a dict belongs"),
        (b"(K\x01d.", "shorter"),
        (b"}](ss.", "IndexError"),
        (b"}]Ns.", "TypeError: unhashable"),
        (b"h\x07.", "KeyError"),
        (b"I1_x\n.", "invalid literal"),
        (b"Snot quoted\n.", "quotes"),
        (b"P1\n.", "load_torch"),
    ],
)
def test_damage_is_an_error_that_says_what(stored, content, message):
    with pytest.raises(ValueError, match=f"file.pkl.*(?:{message})"):
        load_pickle(stored(content))


@pytest.mark.parametrize(
    "claim",
    [
        b"\x8e" + (2**42).to_bytes(8, "little"),
        b"\x8d" + (2**63).to_bytes(8, "little"),
        b"\x96" + (2**42).to_bytes(8, "little"),
        b"B\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\xff",
    ],
)
def test_claims_beyond_the_file_take_no_memory(stored, claim, peak):
    path = stored(claim + b"abc.")
    with pytest.raises(ValueError, match="ends early"):
        load_pickle(path)
    assert peak() < 4e6


def test_a_memo_number_of_4_billion_takes_no_memory(stored):
    assert load_pickle(stored(b"K\x05r\xff\xff\xff\xff0j\xff\xff\xff\xff.")) == 5


def test_python_reads_the_same_from_each_test_file():
    # The files above that are written by hand say what their comments say.
    text = io.BytesIO(b"((lS'it\\'s'\naS\"\\xe9\\n\"\naL5L\nc__builtin__\nset\n((lI1\natRt.")
    assert pickle.load(text, encoding="latin1") == (["it's", "é\n"], 5, {1})


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pkl"):
        load_pickle(tmp_path / "none.pkl")
