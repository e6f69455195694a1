"""Files that try to be executed, to leave their folder, or to claim more memory than they have."""

import contextlib
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.data import load_table
from lddu.data.tables.files import Folder, decode


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture
def outside(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    np.save(folder / "secret.npy", np.ones((2, 3)))
    return folder


def test_pickles_are_never_executed(make_table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make_table(arrays={"b": np.array([[Bomb()]], object)})
    with pytest.raises(ValueError, match="never read"):
        load_table(path)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"file 'b\.npy': not a \.npy array"):
        load_table(path)
    np.savez(tmp_path / "audio.npz", a=np.array([[Bomb()]], object))
    with pytest.raises(ValueError, match=r"audio\.npz: array 'a': holds Python objects"):
        load_table(path, {"modalities": {"audio": {"file": "audio.npz"}}})
    assert not (tmp_path / "executed").exists()


def test_files_stay_inside_of_the_folder(make_table, tmp_path, outside):
    (tmp_path / "link.npy").symlink_to(outside / "secret.npy")
    (tmp_path / "linked").symlink_to(outside)
    (tmp_path / "sub").mkdir()
    names = [
        *(str(outside / "secret.npy"), f"../{outside.name}/secret.npy"),
        *("link.npy", "linked/secret.npy", f"sub/../../{outside.name}/secret.npy"),
    ]
    for name in names:
        path = make_table((f"a,train,1,0,{name}", "b,valid,1,0,b.npy", "c,test,0,1,c.npy"))
        with pytest.raises(ValueError, match=r"line 2 \(id 'a'\).* outside of the table's folder"):
            load_table(path)
        with pytest.raises(ValueError, match="outside of the table's folder"):
            load_table(path, {"modalities": {"audio": {"file": name}}})


@pytest.mark.parametrize("name", [".", "..", "sub", "sub/..", "a\0b", "x" * 5000, "pipe"])
def test_names_that_are_no_files(tmp_path, name):
    (tmp_path / "sub").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError):
        Folder(tmp_path).file(name)


def test_links_that_stay_inside_are_followed(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"x")
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    (tmp_path / "sub").mkdir()
    assert Folder(tmp_path).file("b.npy").read_bytes() == b"x"
    assert Folder(tmp_path).file("sub/../a.npy").read_bytes() == b"x"


def npy(header, body=b"", version=1):
    data = header.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(data).to_bytes(2, "little") + data + body


FORGED = {
    "more than there is": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9), }",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }",
    "overflow": "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 4), }",
    "code": "{'descr': __import__('os').mkdir('executed'), 'fortran_order': False, 'shape': (1,)}",
    "object inside": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
    "record": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
    "nested": "(" * 5000,
    "empty": "",
}


@pytest.mark.parametrize("header", FORGED.values(), ids=FORGED)
def test_forged_headers(header, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError):
        decode(npy(header, b"\0" * 12))
    assert not (tmp_path / "executed").exists()


@given(st.binary(max_size=200), st.integers(0, 130), st.integers(0, 255))
@settings(max_examples=60)
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")  # where "L" follows a number
def test_damaged_arrays_are_arrays_or_errors(tail, position, byte):
    whole = npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + " " * 58, b"\1" * 24
    )
    damaged = bytearray(whole)
    damaged[min(position, len(whole) - 1)] = byte
    for data in (bytes(damaged), whole[:position], whole + tail, b"\x93NUMPY" + tail):
        with contextlib.suppress(ValueError):
            assert isinstance(decode(data), np.ndarray)


DAMAGED = {
    "empty": b"",
    "zip": b"PK\3\4",
    "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 50,
    "other": b"\xff" * 99,
}


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors"])
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files(make_table, tmp_path, suffix, content):
    pytest.importorskip({".npz": "zipfile", ".h5": "h5py"}.get(suffix, "safetensors"))
    (tmp_path / f"text{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"text\{suffix} is not a readable"):
        load_table(make_table(), {"modalities": {"text": {"file": f"text{suffix}"}}})


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_damaged_parquet(tmp_path, content):
    (tmp_path / "clips.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"clips\.parquet is not a readable Parquet file"):
        load_table(tmp_path)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "nul", '{"labels": 1}', "\udcff"])
def test_damaged_declarations(make_table, tmp_path, content):
    path = make_table()
    (tmp_path / "dataset.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"dataset\.json"):
        load_table(path)


def test_a_table_of_other_bytes(tmp_path):
    (tmp_path / "clips.csv").write_bytes(b"id,split\n\xff\xfe,train\n")
    with pytest.raises(ValueError, match=r"clips\.csv is not UTF-8 text"):
        load_table(tmp_path)
    (tmp_path / "clips.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"clips\.csv is empty"):
        load_table(tmp_path)


def test_members_of_the_same_name(make_table, tmp_path):
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as file:
        file.writestr("a.npy", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.npy", b"y")
    with pytest.raises(ValueError, match=r"text\.npz: two arrays have the same name"):
        load_table(make_table(), {"modalities": {"text": {"file": "text.npz"}}})


PACKED = {
    "overflow": [2**62, 2**62, 2**62, 2**62 + 4],
    "negative": [5, -1, 0, 0],
    "too many": [9, 9, 9, 9],
}


@pytest.mark.parametrize("lengths", PACKED.values(), ids=PACKED)
def test_forged_lengths(make_table, tmp_path, lengths):
    np.savez(tmp_path / "text.npz", values=np.ones((4, 3)), lengths=np.array(lengths))
    with pytest.raises(ValueError, match="'lengths' do not add up to the 4 steps of 'values'"):
        load_table(make_table(), {"modalities": {"text": {"file": "text.npz"}}})


def test_hdf5_does_not_leave_its_file(make_table, tmp_path, outside):
    h5py = pytest.importorskip("h5py")
    with h5py.File(outside / "secret.h5", "w") as file:
        file["a"] = np.ones((2, 3))
    (outside / "raw").write_bytes(np.ones(6, "<f4").tobytes())
    path = make_table()
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[:] = h5py.VirtualSource(str(outside / "secret.h5"), "a", (2, 3))

    def link(file):
        file["a"] = h5py.ExternalLink(str(outside / "secret.h5"), "a")

    def group(file):
        file["b"] = np.ones((2, 3))
        file["a"] = h5py.SoftLink("/b")

    def external(file):
        file.create_dataset("a", (2, 3), "<f4", external=[(str(outside / "raw"), 0, 24)])

    def virtual(file):
        file.create_virtual_dataset("a", layout)

    for make in (link, group, external, virtual):
        with h5py.File(tmp_path / "text.h5", "w") as file:
            make(file)
        with pytest.raises(ValueError, match=r"is a link|is kept in another file"):
            load_table(path, {"modalities": {"text": {"file": "text.h5"}}})


def test_a_card_of_odd_names_is_json(make_table):
    data = load_table(make_table(("a\u2028,train,1,0,a.npy", "b,valid,1,0,", "c,test,0,1,")))
    assert json.loads(data.card.to_json())["name"] == "clips"
