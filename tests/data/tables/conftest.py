"""A small table on disk, which tests damage."""

import json

import numpy as np
import pytest

HEADER = "id,split,joy,anger,audio"
ROWS = ("a,train,1,0,a.npy", "b,train,0,1,b.npy", "c,valid,1,1,c.npy", "d,test,0,0,")


def write(folder, rows=ROWS, header=HEADER, declaration=None, arrays=None):
    """Writes `clips.csv` and its arrays, and returns its path."""
    for name, array in ({"a": (2, 3), "b": (1, 3), "c": (4, 3)} | (arrays or {})).items():
        array = np.ones(array, np.float32) if isinstance(array, tuple) else array
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    text = "\n".join([header, *rows]) + "\n"
    (folder / "clips.csv").write_text(text, encoding="utf-8")
    if declaration is not None:
        (folder / "dataset.json").write_text(json.dumps(declaration), encoding="utf-8")
    return folder / "clips.csv"


@pytest.fixture
def make_table(tmp_path):
    """make_table(rows, header, declaration, arrays): writes a table of four clips."""

    def make(*args, **kwargs):
        return write(tmp_path, *args, **kwargs)

    return make


@pytest.fixture
def ragged():
    """Ids, and 12 sequences of width 3, of which some are missing."""
    rng = np.random.default_rng(0)
    sequences = [
        rng.normal(size=(n, 3)).astype(np.float32) if n else None
        for n in rng.integers(0, 5, size=12)
    ]
    return [f"clip {i}" for i in range(12)], sequences
