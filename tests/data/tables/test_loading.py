"""Tables as people have them: detection, labels, splits, groups, weights, cards."""

import csv
import sys

import numpy as np
import pytest
import scipy.special

import lddu
from lddu.data import load_table

NAN = np.nan


def label_rows(*cells):
    """Training rows with these cells, then one row of validation and one of test."""
    rows = [f"r{i},train,{cell},0,a.npy" for i, cell in enumerate(cells)]
    return [*rows, "v,valid,1,0,b.npy", "t,test,0,1,c.npy"]


def test_a_table_without_a_declaration(make_table):
    data = load_table(make_table())
    assert data.labels == ("joy", "anger")
    assert data.shapes() == {"audio": (3, 4)}
    assert data.train.ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(data.train.batch.labels, [[1, 0], [0, 1]])
    assert data.train.batch.modalities["audio"].mask.sum(1).tolist() == [2, 1]
    assert data.test.batch.present["audio"].tolist() == [False]
    assert data.train.soft is None
    assert data.train.groups is None
    assert data.train.batch.weight is None
    assert data.card.sources[-1].file == "audio (3 .npy files)"
    assert "test: 1 rows have no modality at all" in data.card.warnings
    assert lddu.data.card.Card.from_json(data.card.to_json()) == data.card


def test_a_csv_file_needs_no_pyarrow(make_table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # importing it fails
    assert load_table(make_table()).labels == ("joy", "anger")
    path = make_table(
        ("a,train,x,a.npy", "b,valid,y,b.npy", "c,test,x;y,c.npy"), "id,split,labels,f"
    )
    assert load_table(path).labels == ("x", "y")


def test_a_folder_is_its_only_table(make_table):
    path = make_table()
    assert load_table(path.parent).train.ids.tolist() == load_table(str(path)).train.ids.tolist()


def test_soft_votes_and_unknown_labels(make_table):
    data = load_table(make_table(label_rows("1", "0.25", "1/2", " 2 / 3 ", "", "nan", "True")))
    soft = [1, 0.25, 0.5, np.float32(2 / 3), NAN, NAN, 1]
    np.testing.assert_array_equal(data.train.soft[:, 0], np.array(soft, np.float32))
    np.testing.assert_array_equal(data.train.batch.labels[:, 0], [1, 0, 1, 1, NAN, NAN, 1])
    np.testing.assert_array_equal(data.valid.soft, [[1, 0]])
    assert "train: label 'joy' is unknown in 2 rows" in data.card.warnings
    assert "soft labels" in data.card.task


def test_unknown_labels_alone_do_not_make_soft_ones(make_table):
    data = load_table(make_table(label_rows("1", "", "0/3")))
    assert data.train.soft is None
    np.testing.assert_array_equal(data.train.batch.labels[:, 0], [1, NAN, 0])


def test_hard_labels_of_their_own(make_table):
    path = make_table(
        ("a,train,0.3,1,a.npy", "b,train,0.6,,b.npy", "c,valid,1,1,c.npy", "d,test,0,0,"),
        declaration={"labels": ["joy"], "hard": {"joy": "anger"}},
    )
    data = load_table(path)
    np.testing.assert_array_equal(data.train.batch.labels, [[1], [NAN]])
    np.testing.assert_array_equal(data.train.soft, np.array([[0.3], [0.6]], np.float32))


NAMED = ("a,train,happy; sad,a.npy", "b,train,;,b.npy", "c,train,,c.npy", "d,valid,sad,",
         "e,test,happy;happy,")  # fmt: skip


def test_one_column_of_names(make_table):
    path = make_table(NAMED, "id,split,labels,audio")
    data = load_table(path)
    assert data.labels == ("happy", "sad")
    np.testing.assert_array_equal(data.train.batch.labels, [[1, 1], [0, 0], [NAN, NAN]])
    np.testing.assert_array_equal(data.test.batch.labels, [[1, 0]])
    ordered = load_table(path, {"labels": {"column": "labels", "names": ["sad", "new", "happy"]}})
    assert ordered.labels == ("sad", "new", "happy")
    np.testing.assert_array_equal(ordered.train.batch.labels[0], [1, 0, 1])
    with pytest.raises(
        ValueError, match=r"line 2 \(id 'a'\).*unknown label 'sad'; known are happy"
    ):
        load_table(path, {"labels": {"column": "labels", "names": ["happy"]}})
    with pytest.raises(ValueError, match="unknown label 'happy; sad'"):
        load_table(
            path, {"labels": {"column": "labels", "separator": "|", "names": ["happy", "sad"]}}
        )


def test_renamed_columns_and_a_file_of_tabs(tmp_path, make_table):
    declaration = {
        **{"id": "clip", "split": "fold", "group": "film", "weight": "w", "name": "Films"},
        **{"labels": ["joy"], "modalities": {"x": {"columns": ["f*"]}}},
    }
    rows = [
        ["clip", "fold", "film", "w", "joy", "f1", "f2", "note"],
        ["a", "train", "A", "1", "1", "0.5", "2", "x, y"],
        ["b", "validation", "B", "0.5", "0", "-1", "3", "z"],
        ["c", "test", "A", "2", "1", "7", "", ""],
    ]
    with (tmp_path / "t.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(rows)
    data = load_table(tmp_path, declaration)
    assert data.card.name == "Films"
    assert data.labels == ("joy",)
    assert data.train.groups.tolist() == ["A"]
    np.testing.assert_array_equal(data.valid.batch.weight, [0.5])
    np.testing.assert_array_equal(data.test.batch.modalities["x"].values, [[[7, 0]]])
    assert data.card.repairs == {"test, x: NaN set to 0": 1}
    leak = "1 groups are in more than one split, such as 'A' in train and test"
    assert any(warning.startswith(leak) for warning in data.card.warnings)


def test_steps_are_cut_and_counted(make_table):
    data = load_table(make_table(), steps={"audio": 1})
    assert data.shapes() == {"audio": (3, 1)}
    assert data.card.repairs == {
        "train, audio: sequences longer than 1, cut": 1,
        "valid, audio: sequences longer than 1, cut": 1,
    }
    assert load_table(make_table(), steps=3).shapes() == {"audio": (3, 3)}


def test_rows_are_divided_where_there_is_no_split(make_table):
    rows = [f"c{i},{i % 2},0,{'abc'[i % 3]}.npy,g{i % 10}" for i in range(40)]
    path = make_table(rows, "id,joy,anger,audio,group")
    data = load_table(path, shares=(0.6, 0.2, 0.2), seed=1)
    again = load_table(path, shares=(0.6, 0.2, 0.2), seed=1)
    assert data.test.ids.tolist() == again.test.ids.tolist()
    assert [split.batch.size for split in data.splits().values()] == [24, 8, 8]
    groups = [set(split.groups) for split in data.splits().values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert "divided by lddu.data.split, shares [0.6, 0.2, 0.2], seed 1" in data.card.task


def test_patterns_match_neither_labels_nor_reserved_columns(make_table):
    header = "id,split,group,joy,feature 1,feature 2,fear"
    path = make_table(("a,train,g,1,5,6,0", "b,valid,h,0,7,8,1", "c,test,i,1,9,10,0"), header)
    modalities = {"x": {"columns": ["f*"]}}
    data = load_table(path, {"labels": ["joy", "fear"], "modalities": modalities})
    assert data.shapes() == {"x": (2, 1)}
    modalities = {"x": {"columns": ["feature ?"]}}  # the others are labels
    data = load_table(path, {"modalities": modalities})
    assert data.labels == ("joy", "fear")


def test_files_beside_the_table_are_modalities(make_table, tmp_path):
    path = make_table()
    np.savez(tmp_path / "text.npz", a=np.ones((5, 2)), d=np.ones((1, 2)))
    data = load_table(path)
    assert data.shapes() == {"audio": (3, 4), "text": (2, 5)}
    assert data.train.batch.present["text"].tolist() == [True, False]
    # What is declared is not detected.
    only = load_table(path, {"modalities": {"words": {"file": "text.npz"}}})
    assert only.shapes() == {"words": (2, 5)}
    assert only.labels == ("joy", "anger")


def test_a_byte_order_mark_and_empty_lines_are_no_rows(make_table):
    path = make_table()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert load_table(path).train.ids.tolist() == ["a", "b"]


@pytest.mark.slow
def test_a_model_learns_from_a_table(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4))
    labels = rng.random((300, 2)) < scipy.special.expit(3 * features[:, :2])
    frame = {"id": [f"r{i}" for i in range(300)], "x": list(features[:, None])}
    frame |= {"a": labels[:, 0].astype(int), "b": labels[:, 1].astype(int)}
    data = lddu.data.from_frame(frame, shares=(0.6, 0.2, 0.2))
    cfg = lddu.config.tiny(data.shapes(), data.labels)
    cfg = lddu.config.replace(cfg, {"train.epochs": 30, "model.encoder.layers": 0})
    predictor = lddu.fit(cfg, data.train.batch, data.valid.batch, progress=False)
    batch = data.test.batch
    # Chance is 0.5; the Bayes rule has about 0.85, and 120 decisions have a deviation below 0.05.
    right = (predictor.predict(batch).probs >= 0.5) == (batch.labels == 1)
    assert np.mean(right) > 0.6
