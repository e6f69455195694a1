"""Fixtures shared by all tests: one tiny synthetic set, one model trained on it."""

import os
from pathlib import Path

import hypothesis
import pytest

from lddu import config
from lddu.data import synthetic

os.environ.setdefault("MPLBACKEND", "Agg")
# A busy machine is no failure.
hypothesis.settings.register_profile("lddu", deadline=None)
hypothesis.settings.load_profile("lddu")


@pytest.fixture(scope="session")
def tiny_data():
    """(train, valid, test) `Synthetic` draws of 96, 48 and 40 samples."""
    return tuple(synthetic.generate(n, seed=n) for n in (96, 48, 40))


@pytest.fixture(scope="session")
def tiny_config(tiny_data):
    """The tiny preset for `tiny_data`, two epochs."""
    train = tiny_data[0]
    cfg = config.tiny(train.shapes(), train.config.labels)
    return config.replace(cfg, {"train.epochs": 2, "model.statistics": 8})


@pytest.fixture(scope="session")
def predictor(tiny_data, tiny_config):
    """A predictor with two members trained on `tiny_data`; do not modify."""
    import lddu

    train, valid, _ = tiny_data
    cfg = config.replace(tiny_config, {"train.members": 2, "train.seed": 2})
    return lddu.fit(cfg, train.batch, valid.batch, progress=False)


@pytest.fixture(scope="session")
def data_folder():
    """The folder with real data, from LDDU_DATA; skips where it is not set."""
    folder = os.environ.get("LDDU_DATA")
    if not folder:
        pytest.skip("LDDU_DATA is not set; it names the folder that holds studyforrest/")
    return Path(folder)
