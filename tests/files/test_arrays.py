"""Arrays are read only if their headers and sizes fit."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.files import Spec, arrays, check_unchanged, checksums, read_npy, read_npz

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "c": np.array(["x", "äöü"]),
    "d": np.zeros((0, 4), bool),
    "e": np.array(1.5),
}


def anything(specs):
    """Takes arrays of any shape and type."""


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    save(tmp_path / "f.npz", **ARRAYS)
    seen = {}
    got = read_npz(tmp_path / "f.npz", seen.update)
    assert list(got) == list(ARRAYS)
    for name, x in ARRAYS.items():
        np.testing.assert_array_equal(got[name], x)
        assert seen[name] == Spec(x.shape, x.dtype)
        assert got[name].dtype == x.dtype
        np.save(tmp_path / "x.npy", x)
        for mapped in (False, True):
            np.testing.assert_array_equal(read_npy(tmp_path / "x.npy", mapped), x)
    assert str(seen["a"]) == "float32 (2, 3)"


def test_a_check_comes_before_the_content(tmp_path):
    np.savez(tmp_path / "f.npz", **ARRAYS)

    def refuse(specs):
        raise ValueError("not these")

    with pytest.raises(ValueError, match=r"f\.npz is damaged: not these"):
        read_npz(tmp_path / "f.npz", refuse)


def test_compressed_arrays_have_a_limit(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "f.npz", a=np.zeros(100_000))
    read_npz(tmp_path / "f.npz", anything)
    monkeypatch.setattr(arrays, "_LARGEST", 1000)
    with pytest.raises(ValueError, match="its arrays would take 800000 bytes"):
        read_npz(tmp_path / "f.npz", anything)
    np.savez(tmp_path / "f.npz", a=np.zeros(100_000))  # as large as they are
    read_npz(tmp_path / "f.npz", anything)


@pytest.mark.parametrize("shape", ["(1 << 62,)", "(1099511627776,)", "(-1,)", "(3, 1)", "(2,)"])
@pytest.mark.parametrize("mapped", [True, False])
def test_a_header_that_claims_another_size(tmp_path, shape, mapped):
    np.save(tmp_path / "x.npy", np.zeros(3))
    content = (tmp_path / "x.npy").read_bytes()
    assert content.count(b"(3,), }") == 1
    at, padding = content.index(b"(3,), }"), 128 - content.index(b"(3,), }")
    header = f"{shape}, }}".encode().ljust(padding - 1) + b"\n"
    (tmp_path / "x.npy").write_bytes(content[:at] + header + content[128:])
    if shape == "(3, 1)":
        assert read_npy(tmp_path / "x.npy", mapped).shape == (3, 1)
        return
    with pytest.raises(ValueError, match=r"x\.npy is damaged"):
        read_npy(tmp_path / "x.npy", mapped)


def npz():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    return buffer.getvalue()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), st.floats(0, 1))
def test_altered_bytes(tmp_path_factory, changes, cut):
    content = bytearray(npz())
    for where, byte in changes:
        content[int(where * (len(content) - 1))] = byte
    path = tmp_path_factory.mktemp("altered") / "f.npz"
    for whole in (content, content[: int(cut * len(content))]):
        path.write_bytes(whole)
        for read in (lambda: read_npz(path, anything), lambda: read_npy(path)):
            message = f"{path} is damaged: "
            try:
                read()
            except ValueError as error:
                message = str(error)
            assert message.startswith(f"{path} is damaged: ")


def test_an_encrypted_or_unknown_archive(tmp_path):
    content = bytearray(npz())
    at = content.index(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 99)):  # flags and method in the directory
        changed = bytearray(content)
        changed[at + offset] = value
        (tmp_path / "f.npz").write_bytes(changed)
        with pytest.raises(ValueError, match=r"f\.npz is damaged: 'a' cannot be read"):
            read_npz(tmp_path / "f.npz", anything)
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00\x06\x00{'a':\n")
    with pytest.raises(ValueError, match=r"f\.npz is damaged: 'a' cannot be read"):
        read_npz(tmp_path / "f.npz", anything)


def test_files_that_cannot_be_opened(tmp_path):
    for read in (lambda path: read_npz(path, anything), read_npy):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "absent")
        with pytest.raises(IsADirectoryError):
            read(tmp_path)


def test_checksums_tell_changed_files(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        (tmp_path / name).write_text(name)
    before = checksums(tmp_path)
    assert list(before) == ["a", "below/b"]
    check_unchanged(tmp_path, before)
    (tmp_path / "below/b").write_text("c")
    with pytest.raises(ValueError, match=r"below.b has changed"):
        check_unchanged(tmp_path, before)
    (tmp_path / "below/b").unlink()
    with pytest.raises(ValueError, match=r"below.b is missing"):
        check_unchanged(tmp_path, before)
    (tmp_path / "0").touch()
    with pytest.raises(ValueError, match="0 is new"):
        check_unchanged(tmp_path, before)
