"""Every mistake that people make is an error that names file, row and column."""

import re

import numpy as np
import pytest

from lddu.data import load_table

A, B, C, D = ("a,train,1,0,a.npy", "b,train,0,1,b.npy", "c,valid,1,1,c.npy", "d,test,0,0,")
ADVICE = "Declare what the columns are, in dataset.json beside the table"

CELLS = {
    "duplicate id": (
        (A, B, C, "a,test,0,0,"),
        "clips.csv, line 5, column 'id': id 'a' is also that of clips.csv, line 2",
    ),
    "missing id": (
        (A, ",train,0,1,b.npy", C, D),
        "clips.csv, line 3, column 'id': the id is missing",
    ),
    "label above 1": (
        (A, "b,train,3,1,b.npy", C, D),
        "clips.csv, line 3 (id 'b'), column 'joy': a label must lie in [0, 1], got 3",
    ),
    "negative label": (
        (A, B, "c,valid,1,-0.5,c.npy", D),
        "clips.csv, line 4 (id 'c'), column 'anger': a label must lie in [0, 1], got -0.5",
    ),
    "infinite label": (
        (A, "b,train,inf,1,b.npy", C, D),
        "clips.csv, line 3 (id 'b'), column 'joy': 'inf' is not a number",
    ),
    "text as label": (
        ("a,train,yes,0,a.npy", B, C, D),
        "clips.csv, line 2 (id 'a'), column 'joy': 'yes' is not a number; leave the cell empty",
    ),
    "decimal comma": (
        ('a,train,"0,5",0,a.npy', B, C, D),
        "clips.csv, line 2 (id 'a'), column 'joy': '0,5' is not a number",
    ),
    "more votes than voters": (
        ("a,train,4/3,0,a.npy", B, C, D),
        "clips.csv, line 2 (id 'a'), column 'joy': votes '4/3': 4 of 3 cannot be",
    ),
    "no voters": (
        ("a,train,0/0,0,a.npy", B, C, D),
        "clips.csv, line 2 (id 'a'), column 'joy': votes '0/0': 0 of 0 cannot be",
    ),
    "unknown split": (
        (A, "b,dev2,0,1,b.npy", C, D),
        "clips.csv, line 3 (id 'b'), column 'split': unknown split 'dev2', expected one of train, "
        "valid, test, validation, val, dev",
    ),
    "no validation": (
        (A, B, "c,train,1,1,c.npy", D),
        "clips.csv, column 'split': no row is in 'valid'; lddu.data.split divides rows",
    ),
    "label unknown in training": (
        ("a,train,,0,a.npy", "b,train,,1,b.npy", C, D),
        "clips.csv: label 'joy' is empty in every row of the training split",
    ),
    "cells missing": ((A, "b,train,0", C, D), "clips.csv, line 3: 3 cells, but the header has 5"),
    "cells too many": ((A, B + ",7", C, D), "clips.csv, line 3: 6 cells, but the header has 5"),
    "open quote": ((A, 'b,train,"0', C, D), "clips.csv, line 5: unexpected end of data"),
    "file missing": (
        ("a,train,1,0,x.npy", B, C, D),
        "clips.csv, line 2 (id 'a'), column 'audio': file 'x.npy' does not exist",
    ),
    "no rows": ((), "clips.csv has no rows"),
}


@pytest.mark.parametrize(("rows", "message"), CELLS.values(), ids=CELLS)
def test_cells(make_table, rows, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(make_table(rows))


ARRAYS = {
    "another width": (
        np.ones((1, 4)),
        "line 3 (id 'b'), column 'audio': 4 features, expected 3 as row 0 has",
    ),
    "one dimension": (
        np.ones(3),
        "line 3 (id 'b'), column 'audio': shape (3,), expected (steps, features); for flat arrays "
        "declare 'features'",
    ),
    "three dimensions": (np.ones((1, 1, 3)), "line 3 (id 'b'), column 'audio': shape (1, 1, 3)"),
    "objects": (
        np.array([[1, None, 2]], object),
        "line 3 (id 'b'), column 'audio': file 'b.npy': holds Python objects (a pickle)",
    ),
    "texts": (np.array([["x"]]), "line 3 (id 'b'), column 'audio': values of type <U1"),
    "complex": (
        np.ones((1, 3), complex),
        "line 3 (id 'b'), column 'audio': file 'b.npy': values of type complex128",
    ),
    "no features": (np.ones((2, 0)), "line 3 (id 'b'), column 'audio': 0 features, expected 3"),
}


@pytest.mark.parametrize(("array", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays(make_table, array, message):
    with pytest.raises(ValueError, match=re.escape(f"clips.csv, {message}")):
        load_table(make_table(arrays={"b": array}))


HEADERS = {
    "no id": ("name,split,joy,anger,audio", "clips.csv has no column 'id'; it has 'name', 'split'"),
    "no split": (
        "id,fold,joy,anger,audio",
        "clips.csv has no column 'split', which says train, valid or test for each row; add it",
    ),
    "same name": ("id,split,joy,joy,audio", "clips.csv: two columns are called 'joy'"),
    "semicolons": ("id;split;joy;anger;audio", "clips.csv: cells are separated by semicolons"),
    "group": ("id,split,joy,anger,group", "clips.csv: no modality was recognised. " + ADVICE),
}


@pytest.mark.parametrize(("header", "message"), HEADERS.values(), ids=HEADERS)
def test_headers(make_table, header, message):
    declaration = {"labels": ["joy"]} if header.startswith("id,fold") else None
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(make_table(header=header, declaration=declaration))


EXTRA = {
    "group missing": ("group", "clips.csv, line 3 (id 'b'), column 'group': the group is missing"),
    "weight missing": ("weight", "clips.csv, line 3 (id 'b'), column 'weight': a weight must be"),
}


@pytest.mark.parametrize(("column", "message"), EXTRA.values(), ids=EXTRA)
def test_groups_and_weights(make_table, column, message):
    rows = [f"{row},{value}" for row, value in zip((A, B, C, D), ("1", "", "2", "3"), strict=True)]
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(make_table(rows, f"id,split,joy,anger,audio,{column}"))


def test_a_negative_weight(make_table):
    rows = [f"{row},{w}" for row, w in zip((A, B, C, D), (1, 2, -3, 4), strict=True)]
    with pytest.raises(ValueError, match=r"column 'weight': .* at least 0, got -3"):
        load_table(make_table(rows, "id,split,joy,anger,audio,weight"))


DECLARATIONS = {
    "unknown key": ({"label": ["joy"]}, "dataset.json has an unknown key 'label'; known are"),
    "labels as text": ({"labels": "joy"}, "dataset.json: 'labels' must be a list of texts"),
    "labels twice": ({"labels": ["joy", "joy"]}, "dataset.json: 'labels' has 'joy' twice"),
    "no such label": ({"labels": ["fear"]}, "clips.csv has no column 'fear'; it has 'id'"),
    "names without column": (
        {"labels": {"names": ["joy"]}},
        "dataset.json: 'labels' needs 'column', the column that names the labels",
    ),
    "two places": (
        {"modalities": {"audio": {"column": "audio", "file": "x.npz"}}},
        "dataset.json: modality 'audio' needs exactly one of 'column', 'file' and 'columns'",
    ),
    "no modalities": ({"modalities": {}}, "dataset.json: 'modalities' is empty"),
    "width": (
        {"modalities": {"audio": {"column": "audio", "features": 0}}},
        "dataset.json: modality 'audio': 'features' must be a whole number above 0, got 0",
    ),
    "another width": (
        {"modalities": {"audio": {"column": "audio", "features": 5}}},
        "clips.csv, line 2 (id 'a'), column 'audio': 3 features, expected 5 as declared",
    ),
    "no such file": (
        {"modalities": {"audio": {"file": "x.npz"}}},
        "modality 'audio': file 'x.npz' does not exist",
    ),
    "no such columns": (
        {"modalities": {"audio": {"columns": ["mfcc_*"]}}},
        "clips.csv has no column 'mfcc_*'",
    ),
    "hard of no label": (
        {"labels": ["joy"], "hard": {"fear": "anger"}},
        "dataset.json: 'hard' names 'fear', which is not a label",
    ),
    "a list": (["joy"], "dataset.json is a list, expected a mapping"),
    "no such group": ({"group": "film"}, "clips.csv has no column 'film'"),
}


@pytest.mark.parametrize(("declaration", "message"), DECLARATIONS.values(), ids=DECLARATIONS)
def test_declarations(make_table, declaration, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(make_table(declaration=declaration))


def test_hard_labels_are_0_or_1(make_table):
    rows = ("a,train,1,0.5,a.npy", B, C, D)
    path = make_table(rows, declaration={"labels": ["joy"], "hard": {"joy": "anger"}})
    with pytest.raises(
        ValueError, match=re.escape("'anger': a hard label must be 0 or 1, got 0.5")
    ):
        load_table(path)


def test_splits_and_shares_together(make_table):
    with pytest.raises(ValueError, match="has splits in column 'split'; leave out shares="):
        load_table(make_table(), shares=(0.6, 0.2, 0.2))


def test_files_that_are_no_tables(tmp_path, make_table):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist"):
        load_table(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=r"expected one table .* there are: none"):
        load_table(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt: unknown suffix; known are \.csv"):
        load_table(tmp_path / "notes.txt")
    make_table()
    (tmp_path / "other.csv").write_text("x")
    with pytest.raises(ValueError, match=r"there are: clips\.csv, other\.csv; name"):
        load_table(tmp_path)
    (tmp_path / "dataset.json").write_text('{"table": "../x.csv"}')
    with pytest.raises(ValueError, match=r"'table': no file '\.\./x\.csv' here"):
        load_table(tmp_path)


def test_columns_that_could_be_anything_ask_for_a_declaration(make_table):
    rows = ("a,train,1,12,a.npy", B, C, D)
    with pytest.raises(ValueError) as error:
        load_table(make_table(rows))
    assert "line 2 (id 'a'), column 'anger': a label must lie in [0, 1], got 12" in str(error.value)
    assert '{"labels": ["joy", "anger"], "modalities": {"features": {"columns"' in str(error.value)


def test_two_sources_of_one_modality_ask_for_a_declaration(tmp_path, make_table):
    path = make_table()
    np.savez(tmp_path / "audio.npz", a=np.ones((1, 3)))
    message = "two sources of modality 'audio': column 'audio' and audio.npz. " + ADVICE
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(path)
