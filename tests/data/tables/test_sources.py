"""Every place where features can be gives the same sequences."""

import csv
import json

import numpy as np
import pytest

from lddu.data import load_table
from lddu.data.card import Findings
from lddu.data.tables.declaration import Source
from lddu.data.tables.features import read_features
from lddu.data.tables.keyed import read_keyed
from lddu.data.tables.ragged import dense, gather, padded
from lddu.data.tables.table import Table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def packed(ids, sequences, order=slice(None)):
    rows = [np.zeros((0, 3), "f4") if s is None else s for s in sequences]
    rows, ids = [rows[i] for i in np.arange(len(rows))[order]], np.array(ids)[order]
    return {"ids": ids, "lengths": np.array([len(r) for r in rows]), "values": np.concatenate(rows)}


def by_id(ids, sequences):
    return {name: s for name, s in zip(ids, sequences, strict=True) if s is not None}


def npy(folder, ids, sequences):
    for i, sequence in enumerate(sequences):
        if sequence is not None:
            np.save(folder / f"{i}.npy", np.asfortranarray(sequence) if i % 2 else sequence)
    cells = ["" if s is None else f"{i}.npy" for i, s in enumerate(sequences)]
    return {"a": cells}, {"column": "a"}


def npz(folder, ids, sequences):
    np.savez_compressed(folder / "f.npz", **by_id(ids, sequences))
    return {}, {"file": "f.npz"}


def packed_npz(folder, ids, sequences):
    np.savez(folder / "f.npz", **packed(ids, sequences, slice(None, None, -1)))
    return {}, {"file": "f.npz"}


def packed_in_order(folder, ids, sequences):
    arrays = packed(ids, sequences)
    del arrays["ids"]
    np.savez(folder / "f.npz", **arrays)
    return {}, {"file": "f.npz"}


def hdf5(folder, ids, sequences):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "f.h5", "w") as file:
        for name, sequence in by_id(ids, sequences).items():
            file[name] = sequence
    return {}, {"file": "f.h5"}


def packed_hdf5(folder, ids, sequences):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "f.h5", "w") as file:
        for name, array in packed(ids, sequences).items():
            file[name] = array.tolist() if name == "ids" else array
    return {}, {"file": "f.h5"}


def safetensors(folder, ids, sequences):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(by_id(ids, sequences), folder / "f.safetensors")
    return {}, {"file": "f.safetensors"}


def nested(folder, ids, sequences):
    return {"a": [None if s is None else s.tolist() for s in sequences]}, {"column": "a"}


def chunked(folder, ids, sequences):
    cells = [None if s is None else s.tolist() for s in sequences]
    kind = pa.large_list(pa.list_(pa.float64(), 3))
    return {"a": pa.chunked_array([pa.array(cells[:5], kind), pa.array(cells[5:], kind)])}, {
        "column": "a"
    }


def flat(folder, ids, sequences):
    cells = [[] if s is None else s.ravel().tolist() for s in sequences]
    return {"a": cells}, {"column": "a", "features": 3}


KINDS = (
    *(npy, npz, packed_npz, packed_in_order, hdf5, packed_hdf5, safetensors),
    *(nested, chunked, flat),
)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_all_give_the_same(tmp_path, ragged, make, suffix):
    ids, sequences = ragged
    columns, source = make(tmp_path, ids, sequences)
    if suffix == ".csv" and make in (nested, chunked, flat):
        pytest.skip("a CSV file has no lists")
    splits = ["train"] * 6 + ["valid"] * 3 + ["test"] * 3
    columns = {"id": ids, "split": splits, "joy": [0, 1] * 6, **columns}
    path = tmp_path / f"t{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    else:
        pq.write_table(pa.table(columns), path)
    declaration = {"labels": ["joy"], "modalities": {"a": source}}
    (tmp_path / "dataset.json").write_text(json.dumps(declaration))
    data = load_table(tmp_path)
    loaded = [
        split.batch.modalities["a"].values[row][split.batch.effective_mask("a")[row]]
        for split in data.splits().values()
        for row in range(split.batch.size)
    ]
    for array, sequence in zip(loaded, sequences, strict=True):
        np.testing.assert_allclose(array, np.zeros((0, 3)) if sequence is None else sequence, 1e-6)


def test_columns_of_numbers_are_one_step():
    columns = {"x1": ["1", "", ""], "x2": ["2.5", "3", ""], "x10": ["-1e2", "0", " "]}
    table = Table("t", columns, 3, ids=["a", "b", "c"])
    ragged, _ = read_features(table, "x", Source(columns=("x10", "x1", "x2")), Findings())
    np.testing.assert_array_equal(ragged.lengths, [1, 1, 0])
    findings = Findings()
    values = padded(ragged, np.arange(3), "x", findings)
    np.testing.assert_array_equal(values.values[:, 0], [[-100, 1, 2.5], [0, 0, 3], [0, 0, 0]])
    assert findings.repairs == {"x: NaN set to 0": 1}
    message = r"t, row 1 \(id 'b'\), column 'x2': 'three' is not a number"
    bad = Table("t", {**columns, "x2": ["1", "three", ""]}, 3, ids=["a", "b", "c"])
    with pytest.raises(ValueError, match=message):
        read_features(bad, "x", Source(columns=("x1", "x2")), Findings())


LISTS = {
    "mixed widths": (
        [[[1.0, 2.0]], [[1.0, 2.0], [3.0]]],
        None,
        r"row 1 .*: 1 features, expected 2",
    ),
    "null step": ([[[1.0, 2.0]], [None, [1.0, 2.0]]], None, r"row 1 .*: a step is null"),
    "texts": ([[["x"]], [["y"]]], None, r"row 0 .*: items of type string, expected numbers"),
    "flat": ([[1.0], [2.0]], None, r"row 0 .*: a flat list, .* declare 'features'"),
    "not a multiple": ([[1.0, 2.0], [2.0]], 2, r"row 1 .*: 1 values, not a multiple of 2 features"),
    "declared otherwise": ([[[1.0]], [[2.0]]], 2, r"row 0 .*: 1 features, expected 2"),
    "empty": ([None, None], None, r"modality 'x' is empty in every row; declare 'features'"),
}


@pytest.mark.parametrize(("cells", "features", "message"), LISTS.values(), ids=LISTS)
def test_lists_that_do_not_fit(cells, features, message):
    kind = pa.list_(pa.list_(pa.float32())) if cells == [None, None] else None
    table = Table("t", {"x": pa.chunked_array([pa.array(cells, kind)])}, 2, ids=["a", "b"])
    with pytest.raises(ValueError, match=message):
        read_features(table, "x", Source(column="x", features=features), Findings())


def test_the_row_is_named_in_the_right_chunk():
    chunks = [pa.array([[[1.0]], None, []]), pa.array([[[1.0]], [[2.0], [3.0, 4.0]]])]
    table = Table("t", {"x": pa.chunked_array(chunks)}, 5, ids=list("abcde"))
    with pytest.raises(ValueError, match=r"row 4 \(id 'e'\), column 'x': 2 features, expected 1"):
        read_features(table, "x", Source(column="x"), Findings())


def test_tensors_of_arrow_are_lists():
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.arange(12, dtype="f4").reshape(2, 2, 3)
    )
    table = Table("t", {"x": pa.chunked_array([tensors])}, 2, ids=["a", "b"])
    ragged, _ = read_features(table, "x", Source(column="x", features=3), Findings())
    np.testing.assert_array_equal(ragged.values, np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(ragged.lengths, [2, 2])


def test_padding_follows_the_rows_and_cuts():
    ragged = gather([np.full((n, 1), n) for n in (3, 1, 2)], str, None)
    findings = Findings()
    m = padded(ragged, np.array([2, 0]), "x", findings, steps=2)
    np.testing.assert_array_equal(m.values[..., 0], [[2, 2], [3, 3]])
    assert findings.repairs == {"x: sequences longer than 2, cut": 1}
    m = padded(ragged, np.array([1, 2, 0]), "x", Findings())
    np.testing.assert_array_equal(m.values[..., 0], [[1, 0, 0], [2, 2, 0], [3, 3, 3]])


def test_what_is_not_finite_is_counted_after_rounding_to_float32():
    findings = Findings()
    values = np.array([[1e300, np.nan], [-np.inf, 1.0]])
    m = padded(dense(values, np.array([2])), np.array([0]), "x", findings)
    np.testing.assert_array_equal(m.values, [[[0, 0], [0, 1]]])
    assert findings.repairs == {"x: NaN set to 0": 1, "x: infinities set to 0": 2}


def test_a_file_without_the_tables_rows(make_table, tmp_path):
    path = make_table()
    for arrays, message in [
        ({"z": np.ones((1, 3))}, r"text\.npz: none of its arrays is named as an id .* it has 'z'"),
        (packed(["z"], [np.ones((1, 3))]), r"text\.npz: none of its 'ids' is in the table"),
        (packed(["z", "z"], [np.ones((1, 3))] * 2), r"text\.npz: an id occurs twice in 'ids'"),
    ]:
        np.savez(tmp_path / "text.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            load_table(path, {"modalities": {"text": {"file": "text.npz"}}})
    np.savez(tmp_path / "text.npz", a=np.ones((1, 3)), z=np.ones((1, 3)))
    data = load_table(path, {"modalities": {"text": {"file": "text.npz"}}})
    assert "text.npz: 1 arrays of rows that are not in the table, not used" in data.card.warnings
    assert data.train.batch.present["text"].tolist() == [True, False]


def test_hdf5_arrays_are_read_however_they_are_stored(tmp_path):
    h5py = pytest.importorskip("h5py")
    values = np.arange(6).reshape(3, 2)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["film/1"] = values.astype(">f8")
        file.create_dataset("packed", data=values.astype(np.int16), chunks=(2, 1), compression=4)
        file["bits"] = values > 2
        file["nothing"] = np.zeros((0, 2), np.float32)
        file["words"] = ["a", "b"]
    ids, findings = ["film/1", "packed", "bits", "nothing", "film/2", "packed/x"], Findings()
    got = read_keyed(tmp_path / "f.h5", ids, str, None, findings)
    assert got.lengths.tolist() == [3, 3, 3, 0, 0, 0]
    np.testing.assert_array_equal(got.values, np.concatenate([values, values, values > 2]))
    with pytest.raises(ValueError, match=r"3: f\.h5: values of type object"):
        read_keyed(tmp_path / "f.h5", [*ids[:3], "words"], str, None, findings)
    with pytest.raises(ValueError, match="'film' is a group or a type, expected an array"):
        read_keyed(tmp_path / "f.h5", [*ids[:3], "film"], str, None, findings)
