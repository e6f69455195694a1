"""Data frames in memory, and data sets of Hugging Face."""

import numpy as np
import pytest

from lddu.data import from_frame, from_huggingface
from lddu.data.tables.frames import frame_table

pa = pytest.importorskip("pyarrow")

COLUMNS = {
    "id": ["a", "b", "c", "d"],
    "split": ["train", "train", "valid", "test"],
    "joy": [1.0, None, 0.25, 0.0],
    "anger": [0, 1, 1, 0],
    "audio": [[[1.0, 2.0]], None, [[3.0, 4.0], [5.0, 6.0]], []],
}
ARRAYS = [None if not cell else np.array(cell, np.float32) for cell in COLUMNS["audio"]]


def check(data):
    assert data.labels == ("joy", "anger")
    assert data.shapes() == {"audio": (2, 2)}
    assert data.train.ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(data.train.batch.labels, [[1, 0], [np.nan, 1]])
    np.testing.assert_array_equal(data.valid.soft, [[0.25, 1]])
    assert data.train.batch.present["audio"].tolist() == [True, False]
    np.testing.assert_array_equal(data.valid.batch.modalities["audio"].values, [[[3, 4], [5, 6]]])


def test_mappings_and_arrow():
    check(from_frame(COLUMNS))
    check(from_frame(pa.table(COLUMNS)))
    check(from_frame({**COLUMNS, "audio": ARRAYS}))


def test_pandas():
    pd = pytest.importorskip("pandas")
    check(from_frame(pd.DataFrame(COLUMNS)))
    check(from_frame(pd.DataFrame({**COLUMNS, "audio": ARRAYS})))
    check(from_frame(pd.DataFrame(COLUMNS).convert_dtypes()))
    index = pd.DataFrame(COLUMNS).set_index(np.array([7, 3, 3, 1]))
    check(from_frame(index))


def test_polars():
    pl = pytest.importorskip("polars")
    check(from_frame(pl.DataFrame(COLUMNS)))
    typed = pl.Series("audio", COLUMNS["audio"], pl.List(pl.Array(pl.Float32, 2)))
    check(from_frame(pl.DataFrame(COLUMNS).with_columns(typed)))


def test_narwhals():
    nw = pytest.importorskip("narwhals.stable.v1")
    check(from_frame(nw.from_native(pa.table(COLUMNS))))


def test_names_of_labels_in_lists():
    frame = {key: COLUMNS[key] for key in ("id", "split", "audio")}
    data = from_frame({**frame, "labels": [["sad", "happy"], None, [], ["sad"]]})
    assert data.labels == ("happy", "sad")
    np.testing.assert_array_equal(data.train.batch.labels, [[1, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(data.valid.batch.labels, [[0, 0]])
    numbered = {**frame, "labels": [[1, 0], None, [], [1]]}
    named = {"labels": {"column": "labels", "names": ["happy", "sad"]}}
    again = from_frame(numbered, named)
    np.testing.assert_array_equal(again.test.batch.labels, [[0, 1]])
    with pytest.raises(ValueError, match="column 'labels' numbers the labels; declare their 'nam"):
        from_frame(numbered, {"labels": {"column": "labels"}})
    with pytest.raises(ValueError, match=r"row 0 \(id 'a'\), column 'labels': unknown label 7"):
        from_frame({**frame, "labels": [[7], None, [], [1]]}, named)
    with pytest.raises(ValueError, match=r"row 2 \(id 'c'\).*: unknown label \['sad'\]"):
        from_frame({**frame, "labels": [[], None, [["sad"]], []]}, named)


def test_a_table_of_numbers():
    frame = {**COLUMNS, "age": [20, 30, 40, 50], "pulse": np.array([60, 61, np.nan, 70.5])}
    declared = {"labels": ["anger"], "modalities": {"person": {"columns": ["age", "pulse"]}}}
    data = from_frame(frame, declared)
    assert data.shapes() == {"person": (2, 1)}
    np.testing.assert_array_equal(data.train.batch.modalities["person"].values[:, 0, 0], [20, 30])
    assert data.card.repairs == {"valid, person: NaN set to 0": 1}


MISTAKES = {
    "no frame": ([1, 2], TypeError, "a list, expected a data frame with the Arrow interface"),
    "lengths": ({**COLUMNS, "joy": [1]}, ValueError, "frame: columns differ in length"),
    "mixed": ({**COLUMNS, "joy": [1, "x", 0, 0]}, ValueError, "frame, column 'joy'"),
    "fractional ids": ({**COLUMNS, "id": [0.5, 1, 2, 3]}, ValueError, "column 'id' holds double"),
    "label": (
        {**COLUMNS, "anger": [0, 1, 2, 1]},
        ValueError,
        r"frame, row 2 \(id 'c'\), column 'anger': a label must lie in \[0, 1\], got 2",
    ),
    "widths": (
        {**COLUMNS, "audio": [np.ones((1, 2)), None, np.ones((1, 3)), None]},
        ValueError,
        r"frame, row 2 \(id 'c'\), column 'audio': 3 features, expected 2 as row 0 has",
    ),
    "file": (
        {**COLUMNS, "audio": ["a.npy", None, None, None]},
        ValueError,
        "frame has no folder, so it cannot name files",
    ),
}


@pytest.mark.parametrize(("frame", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(frame, error, message):
    with pytest.raises(error, match=message):
        from_frame(frame)


def test_cells_that_pandas_leaves_empty_are_empty():
    table = frame_table({"x": [np.ones((1, 2)), np.nan, None]}, "frame")
    assert [cell is None for cell in table.columns["x"]] == [False, True, True]


class StandIn:
    """A data set with column access and iteration, as `datasets.Dataset` has them."""

    def __init__(self, columns, features=None):
        self.columns, self.features = columns, features
        self.column_names = list(columns)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name):
        return self.columns[name]


class ClassLabels:
    """`datasets.Sequence(datasets.ClassLabel(names=...))`."""

    class feature:
        names = ("happy", "sad")


def of_split(name):
    chosen = [i for i, split in enumerate(COLUMNS["split"]) if split == name]
    return {k: [v[i] for i in chosen] for k, v in COLUMNS.items() if k != "split"}


def test_huggingface_with_a_column_of_splits_or_a_dictionary():
    check(from_huggingface(StandIn(COLUMNS)))
    names = {"train": "train", "validation": "valid", "test": "test"}
    check(from_huggingface({key: StandIn(of_split(name)) for key, name in names.items()}))
    arrays = {**COLUMNS, "audio": ARRAYS}
    check(from_huggingface(StandIn(arrays)))


def test_huggingface_without_ids_and_with_class_labels():
    columns = {"labels": [[0, 1], []], "audio": [[[1.0]], [[2.0]]]}
    parts = {name: StandIn(columns, {"labels": ClassLabels()}) for name in ("train", "dev", "test")}
    data = from_huggingface(parts)
    assert data.labels == ("happy", "sad")
    assert data.valid.ids.tolist() == ["dev-0", "dev-1"]
    np.testing.assert_array_equal(data.test.batch.labels, [[1, 1], [0, 0]])


def test_huggingface_mistakes():
    with pytest.raises(TypeError, match=r"is a generator without a length; .* lddu\.data\.stream"):
        from_huggingface(x for x in ())
    with pytest.raises(ValueError, match="has a column 'split' of its own"):
        from_huggingface({"train": StandIn(COLUMNS)})
    other = {**COLUMNS, "anger": ["1", "1", "1", "1"]}
    del other["split"], (mine := dict(COLUMNS))["split"]
    with pytest.raises(ValueError, match="column 'anger': splits differ"):
        from_huggingface({"train": StandIn(mine), "test": StandIn(other)})


def test_the_true_library():
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_dict(COLUMNS)
    check(from_huggingface(whole))
    check(from_huggingface(whole.select([3, 0, 1, 2])))
    parts = datasets.DatasetDict(
        {
            key: datasets.Dataset.from_dict(of_split(name))
            for key, name in (("train", "train"), ("validation", "valid"))
        }
    )
    parts["test"] = parts["validation"].map(lambda row: {"id": row["id"] + "2"})
    assert from_huggingface(parts).test.ids.tolist() == ["c2"]
    labels = datasets.Features(
        {
            "labels": datasets.Sequence(datasets.ClassLabel(names=["happy", "sad"])),
            "audio": datasets.Array2D((2, 3), "float32"),
        }
    )
    rows = {"labels": [[0], [1, 0]], "audio": [np.ones((2, 3)), np.zeros((2, 3))]}
    part = datasets.Dataset.from_dict(rows, features=labels)
    data = from_huggingface(dict.fromkeys(("train", "validation", "test"), part))
    assert data.labels == ("happy", "sad")
    assert data.shapes() == {"audio": (3, 2)}
    with pytest.raises(TypeError, match="IterableDataset without a length"):
        from_huggingface(whole.to_iterable_dataset())
