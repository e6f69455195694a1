"""Windows with invented votes, and the real files, without which (`LDDU_DATA`) tests skip."""

import os
from pathlib import Path

import numpy as np
import pytest

from lddu.data import studyforrest
from lddu.data.studyforrest.readers import stimulus
from lddu.data.studyforrest.windows import Windows, grid, make_batch


@pytest.fixture(scope="session")
def data_folder():
    folder = os.environ.get("LDDU_DATA")
    if not folder:
        pytest.skip("needs the studyforrest files: set LDDU_DATA to the folder that holds them")
    return studyforrest.locate(folder)


@pytest.fixture(scope="session")
def windows(data_folder):
    return studyforrest.load_windows(data_folder)


@pytest.fixture
def read_once(windows, monkeypatch):
    """Spares tests of other things the frames, which take the longest to read."""
    for name in ("audio", "vision"):
        values = windows.batch.modalities[name].values
        monkeypatch.setattr(stimulus, name, lambda *args, values=values: values)


@pytest.fixture(scope="session")
def stored_path(data_folder) -> Path:
    path = data_folder / "windows.npz"
    if not path.is_file():
        pytest.skip(f"needs the fixed benchmark file windows.npz in LDDU_DATA ({data_folder})")
    return path


@pytest.fixture(scope="session")
def stored(stored_path):
    return studyforrest.load_windows(stored_path)


@pytest.fixture
def film():
    """The windows of the film with invented votes."""
    start, end, block = grid()
    n = len(start)
    rng = np.random.default_rng(0)
    votes = rng.random((n, 9, 22)) < rng.beta(0.3, 1.5, (n, 1, 22))
    nothing = np.zeros((n, 1, 1), np.float32)
    return Windows(
        batch=make_batch(nothing, np.zeros(n, int), nothing, nothing),
        votes=votes,
        arousal=votes[..., :2],
        valence=votes[..., :2],
        start=start,
        end=end,
        emotions=studyforrest.EMOTIONS,
        split=np.searchsorted([7, 8], block % 10, side="right"),
    )
