"""Fixtures on the real files; without `LDDU_DATA` the tests that use them are skipped."""

import os
from pathlib import Path

import pytest

from lddu.data import studyforrest


@pytest.fixture(scope="session")
def data_folder():
    folder = os.environ.get("LDDU_DATA")
    if not folder:
        pytest.skip("needs the studyforrest files: set LDDU_DATA to the folder that holds them")
    return studyforrest.locate(folder)


@pytest.fixture(scope="session")
def windows(data_folder):
    return studyforrest.load(data_folder)


@pytest.fixture(scope="session")
def stored_path(data_folder) -> Path:
    path = data_folder / "windows.npz"
    if not path.is_file():
        pytest.skip(f"needs the fixed benchmark file windows.npz in LDDU_DATA ({data_folder})")
    return path


@pytest.fixture(scope="session")
def stored(stored_path):
    return studyforrest.load_windows(stored_path)
