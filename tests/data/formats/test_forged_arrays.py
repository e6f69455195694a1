"""Pickles of arrays whose description does not fit their content: NumPy itself would crash."""

import pickle

import numpy as np
import pytest

from lddu.data.formats import load_pickle

F4 = (3, "<", None, None, None, -1, -1, 0)


@pytest.fixture
def dtype(write):
    return lambda spec="f4", state=F4: write.Call("numpy.dtype", (spec, False, True), state)


@pytest.fixture
def array(write):
    def make(*state):
        args = (write.Ref("numpy.ndarray"), (0,), b"b")
        return write.Call("numpy.core.multiarray._reconstruct", args, state)

    return make


def refused(stored, write, value, message=""):
    for protocol in (2, 5):
        with pytest.raises(ValueError, match=rf"file\.pkl cannot be read.*{message}"):
            load_pickle(stored(write.dumps(value, protocol)))


def test_the_unforged_array_is_read(stored, write, array, dtype):
    found = load_pickle(stored(write.dumps(array(1, (2,), dtype(), False, bytes(8)))))
    np.testing.assert_array_equal(found, np.zeros(2, "f4"), strict=True)


@pytest.mark.parametrize(
    "shape",
    [(3,), (1,), (2**62,), (2**32, 2**32), (-2,), (-1, -2), (2.0,), (True, 2), 2, None, ("2",)],
)
def test_shapes(stored, write, array, dtype, shape):
    refused(stored, write, array(1, shape, dtype(), False, bytes(8)))


@pytest.mark.parametrize("data", [bytes(7), b"", [0.0, 0.0], bytearray(8), None, "\u0100" * 8])
def test_data(stored, write, array, dtype, data):
    refused(stored, write, array(1, (2,), dtype(), False, data))


@pytest.mark.parametrize("data", [bytes(16), [1], [1, 2, 3], (1, 2), None])
def test_objects(stored, write, array, dtype, data):
    objects = dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    refused(stored, write, array(1, (2,), objects, False, data))


def test_objects_without_their_flag_stay_objects(stored, write, array, dtype):
    # NumPy takes the flags from the file: without them bytes become pointers.
    unflagged = dtype("O8", (3, "|", None, None, None, -1, -1, 0))
    assert load_pickle(stored(write.dumps(unflagged))).hasobject
    refused(stored, write, array(1, (1,), unflagged, False, b"\x01" * 8))


def record(*fields):
    names = tuple(name for name, *_ in fields)
    return (3, "|", None, names, {name: tuple(rest) for name, *rest in fields}, 8, 1, 16)


def test_records(stored, write, array, dtype):
    good = dtype("V8", record(("a", dtype(), 0), ("b", dtype(), 4)))
    found = load_pickle(stored(write.dumps(array(1, (1,), good, False, bytes(8)))))
    assert found.dtype == np.dtype([("a", "f4"), ("b", "f4")])
    objects = dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    for state in (
        record(("a", dtype(), 6)),
        record(("a", dtype(), 2**40)),
        record(("a", dtype(), -4)),
        record(("a", objects, 0)),
        record(("a", "f4", 0)),
        (3, "|", None, ("a", "zz"), {"a": (dtype(), 0)}, 8, 1, 16),
        (3, "|", (dtype(), (2**40,)), None, None, 8, 1, 16),
        (3, "|", (dtype(), (-2,)), None, None, 8, 1, 16),
        (3, "|", (objects, (1,)), None, None, 8, 1, 16),
    ):
        refused(stored, write, array(1, (1,), dtype("V8", state), False, bytes(8)))


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        ("f4", (9, *F4[1:])),
        ("f4", ()),
        ("f4", None),
        ("f4", (3, "?", *F4[2:])),
        ("f3", F4),
        ("U99999999999999999999", F4),
        ("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"parsecs", 1, 1, 1)))),
        ("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"s]; M8[s", 1, 1, 1)))),
        ("M8", (4, "<", None, None, None, -1, -1, 0, (None, (b"s", -1, 1, 1)))),
    ],
)
def test_dtypes(stored, write, dtype, spec, state):
    refused(stored, write, dtype(spec, state))


def test_sizes_in_the_state_of_a_dtype_have_no_effect(stored, write, array, dtype):
    large = dtype("f4", (3, "<", None, None, None, 4000, 4000, 255))
    assert load_pickle(stored(write.dumps(large))) == np.dtype("f4")
    refused(stored, write, array(1, (1,), large, False, bytes(4000)))


def test_elements_without_bytes_claim_no_endless_array(stored, write, array, dtype):
    empty = dtype("V0", (3, "|", None, None, None, 0, 1, 0))
    refused(stored, write, array(1, (2**40,), empty, False, b""))


def test_text_that_is_none(stored, write, array, dtype):
    text = dtype("U1", (3, "<", None, None, None, 4, 4, 8))
    refused(
        stored, write, array(1, (1,), text, False, b"\xff\xff\xff\x7f"), "beyond the last character"
    )
    scalar = write.Call("numpy.core.multiarray.scalar", (text, b"\xff\xff\xff\x7f"))
    refused(stored, write, scalar, "beyond the last character")


@pytest.mark.parametrize("data", [b"", bytes(3), bytes(5), 1.0, [0]])
def test_scalars(stored, write, dtype, data):
    refused(stored, write, write.Call("numpy.core.multiarray.scalar", (dtype(), data)))


@pytest.mark.parametrize(
    "rest",
    [((3,), "C"), ((2,), "X"), ((1, 2), "K", (0, 0)), ((1, 2), "K", (0, 5)), ((2**62,), "C")],
)
def test_frombuffer(stored, write, dtype, rest):
    value = write.Call("numpy._core.numeric._frombuffer", (bytearray(8), dtype(), *rest))
    refused(stored, write, value)


def test_an_array_or_dtype_without_content(stored, write, array, dtype):
    unbuilt = write.Call("numpy.dtype", ("f4", False, True))
    refused(stored, write, [unbuilt], "lacks its content")
    empty = write.Call(
        "numpy.core.multiarray._reconstruct", (write.Ref("numpy.ndarray"), (0,), "b")
    )
    refused(stored, write, [empty], "lacks its content")
    refused(stored, write, array(1, (2,), unbuilt, False, bytes(8)))


def test_a_dtype_does_not_change_after_its_use(stored):
    # The dtype V8 gets its state twice: the second would turn an array's bytes into pointers.
    state = b"(K\x03S'|'\nNNNK\x08K\x01K\x00tb"
    content = b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR" + state + state + b"."
    with pytest.raises(ValueError, match="set attributes of a VoidDType"):
        load_pickle(stored(content))


def test_an_array_within_itself(stored, write):
    # An object array is in the memo before it has its content.
    items = np.empty(1, object)
    items[0] = items
    with pytest.raises(ValueError, match="contains itself"):
        load_pickle(stored(pickle.dumps(items)))
