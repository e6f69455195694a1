import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lddu.data.formats import UnsafePickleError, load_torch

DTYPES = (
    *("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"),
    *("complex64", "complex128", ml_dtypes.bfloat16),
)


def values(dtype, n=24):
    return (np.arange(n) % 7 - (0 if dtype in ("uint8", "bool") else 3)).astype(dtype)


@pytest.fixture(params=["zip", "deflated", "big-endian", "legacy"])
def save(request, write):
    """Writes a file in one of the formats."""
    return {
        "zip": write.zip_file,
        "deflated": lambda v: write.zip_file(v, compression=zipfile.ZIP_DEFLATED),
        "big-endian": lambda v: write.zip_file(v, byteorder="big"),
        "legacy": write.legacy_file,
    }[request.param]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(stored, write, save, dtype):
    expected = values(dtype).reshape(2, 3, 4)
    found = load_torch(stored(save({"x": write.whole_tensor(expected)})))["x"]
    assert type(found) is np.ndarray
    assert_array_equal(found, expected, strict=True)


def test_views_of_one_storage(stored, write, save):
    base = values("float32")
    storage = write.Storage(base)
    tensors = {
        "whole": write.tensor(storage, 0, (24,), (1,)),
        "part": write.tensor(storage, 5, (3,), (1,)),
        "transposed": write.tensor(storage, 0, (6, 4), (1, 6)),
        "strided": write.tensor(storage, 1, (2, 3), (12, 2)),
        "expanded": write.tensor(storage, 2, (5, 3), (0, 1)),
        "number": write.tensor(storage, 7, (), ()),
        "empty": write.tensor(storage, 24, (0, 3), (3, 1)),
        "one": write.tensor(storage, 23, (1, 1), (10**6, 10**9)),
    }
    found = load_torch(stored(save(tensors)))
    expected = {
        "whole": base,
        "part": base[5:8],
        "transposed": base.reshape(4, 6).T,
        "strided": np.stack([base[1:7:2], base[13:19:2]]),
        "expanded": np.tile(base[2:5], (5, 1)),
        "number": base[7].reshape(()),
        "empty": np.empty((0, 3), "f4"),
        "one": base[23:].reshape(1, 1),
    }
    assert list(found) == list(expected)
    for name in expected:
        assert_array_equal(found[name], expected[name], strict=True, err_msg=name)
        assert not found[name].flags.writeable
    assert np.shares_memory(found["whole"], found["strided"])
    assert found["expanded"].strides == (0, 4)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (24, (), ()),
        (0, (2, 3), (24, 1)),
        (0, (3,), (2**61,)),
        (2**63, (2,), (1,)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (3, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2**62, 2**62), (0, 0)),
        (0, (1.0,), (1,)),
        (0, 3, 1),
        (0, (1,) * 65, (1,) * 65),
    ],
)
def test_a_tensor_beyond_its_storage(stored, write, save, offset, size, stride):
    # In memory the storage is followed by the rest of the file.
    tensor = write.tensor(write.Storage(values("float32")), offset, size, stride)
    with pytest.raises(ValueError, match=r"file\.pkl cannot be read"):
        load_torch(stored(save([tensor])))


def test_state_dict(stored, write, save):
    weight, steps = values("float32").reshape(4, 6), np.array(3)
    hooks = write.Call("collections.OrderedDict", ())
    parameter = write.Call(
        "torch._utils._rebuild_parameter", (write.whole_tensor(weight), True, hooks)
    )
    with_state = write.Call(
        "torch._utils._rebuild_parameter_with_state",
        (write.whole_tensor(weight + 1, "2"), True, hooks, {"note": 1}),
    )
    pairs = [["b.weight", parameter], ["a.steps", write.whole_tensor(steps, "1")]]
    pairs.append(["c", with_state])
    state = write.Call("collections.OrderedDict", (pairs,), {"_metadata": {"": {"version": 1}}})
    found = load_torch(stored(save({"model": state, "epoch": 3})))
    assert list(found["model"]) == ["b.weight", "a.steps", "c"]
    assert_array_equal(found["model"]["b.weight"], weight, strict=True)
    assert_array_equal(found["model"]["a.steps"], steps, strict=True)
    assert_array_equal(found["model"]["c"], weight + 1, strict=True)
    assert not hasattr(found["model"], "_metadata")
    assert found["epoch"] == 3


def test_layout_of_published_features(stored, write, save):
    def split(n, seed):
        return {
            "src-visual": [write.whole_tensor(values("float32", 60 * 35).reshape(60, 35), "v")] * n,
            "src-text": [np.full((6, 30), seed + i, "f4") for i in range(n)],
            "tgt": [[2, 4 + i, 3] for i in range(n)],
        }

    splits = {"train": split(3, 0), "valid": split(2, 5), "dict": {"tgt": {"happy": 4}}}
    found = load_torch(stored(save(splits)))
    assert found["train"]["tgt"] == [[2, 4, 3], [2, 5, 3], [2, 6, 3]]
    assert found["train"]["src-visual"][2].shape == (60, 35)
    assert_array_equal(found["valid"]["src-text"][1], np.full((6, 30), 6, "f4"), strict=True)
    assert found["dict"] == {"tgt": {"happy": 4}}


def test_small_things(stored, write, save):
    found = load_torch(
        stored(
            save(
                [
                    write.Call("torch.Size", ((2, 3),)),
                    write.Call("torch.device", ("cuda", 1)),
                    write.Call("torch.device", ("cpu",)),
                    write.Ref("torch.float32"),
                    write.Storage(values("int16")),
                ]
            )
        )
    )
    assert found[:4] == [(2, 3), "cuda:1", "cpu", "torch.float32"]
    assert_array_equal(found[4], values("int16"), strict=True)


@pytest.mark.parametrize("dtype", ["uint16", "uint64", "float8_e4m3fn", "bfloat16"])
def test_untyped_storages(stored, write, dtype):
    expected = np.arange(1, 7).astype(getattr(ml_dtypes, dtype, None) or dtype)
    hooks = write.Call("collections.OrderedDict", ())

    def value(data):
        storage = write.Storage(data, kind="torch.storage.UntypedStorage")
        args = (storage, 1, (2, 2), (2, 1), False, hooks, write.Ref(f"torch.{dtype}"))
        return write.Call("torch._utils._rebuild_tensor_v3", args)

    data = expected.view(np.uint8)
    swapped = data.reshape(6, -1)[:, ::-1].ravel()
    for content in (
        write.zip_file(value(data)),
        write.zip_file(value(swapped), byteorder="big"),
        write.legacy_file(value(data)),
    ):
        assert_array_equal(load_torch(stored(content)), expected[1:5].reshape(2, 2), strict=True)


def test_conjugate_and_negative_bits(stored, write, save):
    data = (values("complex64") + 1j).astype("complex64")
    found = load_torch(
        stored(
            save(
                [
                    write.tensor(write.Storage(data), 0, (24,), (1,), {"conj": True}),
                    write.tensor(
                        write.Storage(data.real.copy(), "1"), 0, (24,), (1,), {"neg": True}
                    ),
                    write.tensor(write.Storage(data), 0, (24,), (1,), {}),
                ]
            )
        )
    )
    assert_array_equal(found[0], data.conj(), strict=True)
    assert_array_equal(found[1], -data.real, strict=True)
    assert_array_equal(found[2], data, strict=True)
    assert not any(tensor.flags.writeable for tensor in found)


def test_a_tensor_with_attributes(stored, write, save):
    args = write.whole_tensor(values("float32")).args
    rebuild, kind = write.Ref("torch._utils._rebuild_tensor_v2"), write.Ref("torch.Tensor")
    name = "torch._tensor._rebuild_from_type_v2"
    found = load_torch(stored(save(write.Call(name, (rebuild, kind, args, {"note": 1})))))
    assert_array_equal(found, values("float32"), strict=True)
    for hostile in ((write.Ref("builtins.list"), kind), (rebuild, "torch.nn.Module")):
        with pytest.raises(UnsafePickleError, match="asks to rebuild"):
            load_torch(stored(save(write.Call(name, (*hostile, args, {})))))


def test_stored_tensors_are_mapped(stored, write):
    path = stored(write.zip_file([write.whole_tensor(values("float64", 10_000))]))
    (found,) = load_torch(path)
    content = bytearray(path.read_bytes())
    at = content.index(values("float64", 10_000).tobytes())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(np.float64(123).tobytes())
    assert found[0] == 123


def test_many_tensors_need_few_file_handles(stored, write):
    resource = pytest.importorskip("resource")
    tensors = [write.whole_tensor(np.array([i]), str(i)) for i in range(200)]
    path = stored(write.zip_file(tensors))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = len(os.listdir("/proc/self/fd")) + 20 if os.path.isdir("/proc/self/fd") else 150
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, soft), hard))
    try:
        found = load_torch(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [int(tensor[0]) for tensor in found] == list(range(200))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(stored, write, protocol):
    expected = {"x": write.whole_tensor(values("float32")), "n": np.arange(3.0)}
    for save in (write.zip_file, write.legacy_file, write.dumps):
        value = {"n": expected["n"]} if save is write.dumps else expected
        found = load_torch(stored(save(value, protocol=protocol)))
        assert_array_equal(found["n"], [0.0, 1, 2])
        if "x" in value:
            assert_array_equal(found["x"], values("float32"), strict=True)


def test_plain_pickle_with_tensors(stored, write):
    # pickle.dump of a tensor holds its storage as a file within the file.
    base = values("float32")
    inner = write.legacy_file(write.Storage(base))
    storage = write.Call("torch.storage._load_from_bytes", (inner,))
    for protocol in (2, 4):
        content = write.dumps([write.tensor(storage, 4, (2, 3), (3, 1))], protocol)
        (found,) = load_torch(stored(content))
        assert_array_equal(found, base[4:10].reshape(2, 3), strict=True)
    with pytest.raises(ValueError, match="no known format"):
        load_torch(stored(write.dumps(write.Call("torch.storage._load_from_bytes", (b"PK",)))))
    evil = write.legacy_file(write.Ref("os.system"))
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        load_torch(stored(write.dumps(write.Call("torch.storage._load_from_bytes", (evil,)))))


def test_older_files_have_storages_within_storages(stored, write):
    base = values("float32")
    part = write.Storage(base, extra=(("view", 4, 10),))
    (found,) = load_torch(stored(write.legacy_file([write.tensor(part, 1, (3,), (3,))])))
    assert_array_equal(found, base[5:14:3], strict=True)
    outside = write.Storage(base, extra=(("view", 20, 10),))
    with pytest.raises(ValueError, match="part outside"):
        load_torch(stored(write.legacy_file([write.tensor(outside, 0, (1,), (1,))])))


def test_a_model_is_refused_by_its_class(stored, write, save):
    with pytest.raises(UnsafePickleError, match=r"file\.pkl asks for 'my\.models\.Net'"):
        load_torch(stored(save([write.Ref("my.models.Net")])))


# --- damaged and hostile containers ---


def test_missing_entries(stored, write):
    tensor = [write.whole_tensor(values("float32"))]
    with pytest.raises(ValueError, match=r"file\.pkl.*storage archive/data/0 is missing"):
        load_torch(stored(write.zip_file(tensor, without="data/0")))
    with pytest.raises(ValueError, match=r"data\.pkl in the zip, got 0"):
        load_torch(stored(write.zip_file(tensor, without="data.pkl")))
    with pytest.raises(ValueError, match="storage 0 is missing"):
        load_torch(stored(write.legacy_file(tensor, keys=[])))
    with pytest.raises(ValueError, match="storage 5 belongs to no tensor"):
        load_torch(stored(write.legacy_file(tensor, keys=["0", "5"])))


@pytest.mark.parametrize("root", ["archive", "a/b", "..", "/etc"])
def test_names_in_the_zip_are_only_names(stored, write, root):
    found = load_torch(stored(write.zip_file(write.whole_tensor(values("int8")), root=root)))
    assert_array_equal(found, values("int8"))


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd"])
def test_a_key_is_not_a_path(stored, write, key):
    content = write.zip_file([write.whole_tensor(values("int8"), key)], without=f"data/{key}")
    with pytest.raises(ValueError, match=f"storage archive/data/{key} is missing"):
        load_torch(stored(content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["archive/data.pkl", "archive/data/0", "other/data.pkl"])
def test_entries_of_two_minds(stored, write, name):
    path = stored(write.zip_file([write.whole_tensor(values("float32"))]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"N.")
    with pytest.raises(ValueError, match=r"twice|got 2"):
        load_torch(path)


@pytest.mark.parametrize("count", [25, 2**40])
def test_a_storage_smaller_than_claimed(stored, write, save, count):
    storage = write.Storage(values("float32"), count=count)
    with pytest.raises(ValueError, match=r"file\.pkl cannot be read.*storage"):
        load_torch(stored(save([write.tensor(storage, 0, (24,), (1,))])))


def test_an_entry_that_claims_more_than_the_file(stored, write):
    content = bytearray(write.zip_file([write.whole_tensor(values("float32"))]))
    directory = content.rindex(b"PK\x01\x02")
    assert content[directory + 46 :].startswith(b"archive/data/0")
    content[directory + 20 : directory + 28] = (2**31).to_bytes(4, "little") * 2
    with pytest.raises(ValueError, match="data/0 ends early"):
        load_torch(stored(content))


def test_an_entry_at_a_wrong_place(stored, write):
    content = bytearray(write.zip_file([write.whole_tensor(values("float32"))]))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 42 : directory + 46] = (7).to_bytes(4, "little")
    with pytest.raises(ValueError, match="data/0 is not where the zip says"):
        load_torch(stored(content))


def test_unknown_byte_order(stored, write):
    with pytest.raises(ValueError, match="unknown byte order b'middle'"):
        load_torch(stored(write.zip_file([1], byteorder="middle")))
    assert load_torch(stored(write.zip_file([1], byteorder=None))) == [1]


@pytest.mark.parametrize(
    "identity",
    [
        "text",
        ("module", "Net", "file.py", "source"),
        ("storage", "torch.FloatStorage", "0", "cpu", 1),
        ("storage", None, "0", "cpu", 1),
        ("storage",),
        None,
        5,
    ],
)
def test_persistent_ids(stored, identity, tmp_path):
    pickled = pickle.dumps(identity, 2)[:-1] + b"Q."
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(ValueError, match=r"file\.pt cannot be read"):
        load_torch(tmp_path / "file.pt")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_torch(tmp_path / "none.pt")
