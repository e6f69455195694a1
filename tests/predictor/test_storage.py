"""Saving and loading: what is kept, what is replaced, what a failure leaves behind."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import chex
import numpy as np
import pytest

from lddu import config
from lddu.predictor import Predictor, description, storage

SIZE = 40
FIELDS = ("base_rate", "calibrator", "shared_threshold", "label_thresholds", "params", "normalizer")
every = pytest.mark.parametrize("method", get_args(config.CalibrationMethod))


def assert_same(got, want):
    """Every field has the same bits."""
    for name in FIELDS:
        chex.assert_trees_all_equal(getattr(got, name), getattr(want, name))
    assert type(got.calibrator) is type(want.calibrator)
    assert got.config == want.config
    assert got.history == want.history


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    return small.save(tmp_path_factory.mktemp("saved") / "new" / "predictor")


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the saved predictor that a test may replace."""
    return shutil.copytree(saved, tmp_path / "predictor")


def test_a_loaded_predictor_predicts_the_same_bits(small, saved, toy_data):
    loaded = Predictor.load(saved)
    assert_same(loaded, small)
    for calibrated in (True, False):
        got, want = (
            p.predict(toy_data, batch_size=SIZE, calibrated=calibrated) for p in (loaded, small)
        )
        chex.assert_trees_all_equal(got, want)
    np.testing.assert_array_equal(loaded.thresholds, small.thresholds)
    assert loaded.labels == ("a", "b")
    names = ["config.json", "params.npz", "predictor.json"]
    assert sorted(p.name for p in saved.iterdir()) == names
    assert [p.name for p in saved.parent.iterdir()] == ["predictor"]


LOAD = """
import sys
import numpy as np
from lddu.predictor import Predictor
from lddu.structs import Batch, Modality

folder, rows, result = sys.argv[1:]
arrays = np.load(rows)
names = ("x", "y")
batch = Batch(
    {n: Modality(arrays[f"values/{n}"], arrays[f"mask/{n}"]) for n in names},
    {n: arrays[f"present/{n}"] for n in names},
)
predictor = Predictor.load(folder)
prediction = predictor.predict(batch, batch_size=40)
np.savez(result, probs=prediction.probs, epistemic=prediction.epistemic)
"""


def test_a_predictor_loaded_in_another_process_predicts_the_same(small, saved, toy_data, tmp_path):
    arrays = {f"present/{name}": here for name, here in toy_data.present.items()}
    for name, modality in toy_data.modalities.items():
        arrays |= {f"values/{name}": modality.values, f"mask/{name}": modality.mask}
    np.savez(tmp_path / "rows.npz", **arrays)
    result = tmp_path / "result.npz"
    folders = [str(Path(storage.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-c", LOAD, str(saved), str(tmp_path / "rows.npz"), str(result)],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    want = small.predict(toy_data, batch_size=SIZE)
    with np.load(result) as got:
        for name in ("probs", "epistemic"):
            np.testing.assert_allclose(got[name], getattr(want, name), rtol=1e-4, atol=1e-5)


@every
def test_every_calibrator_survives_saving(fitted, tmp_path, method):
    predictor = fitted(method)
    loaded = Predictor.load(predictor.save(tmp_path / "p"))
    assert_same(loaded, predictor)
    np.testing.assert_array_equal(loaded.thresholds, predictor.thresholds)
    if method == "choose":
        assert loaded.choice.name == predictor.choice.name
        assert loaded.choice.scores == predictor.choice.scores
        assert loaded.choice.state is loaded.calibrator
    else:
        assert loaded.choice is predictor.choice is None


def test_what_is_no_calibrator_is_not_saved(small, tmp_path):
    with pytest.raises(ValueError, match="calibrator is a dict, must be one of Identity"):
        dataclasses.replace(small, calibrator={}).save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_only_the_first_process_writes(small, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.jax, "process_index", lambda: 1)
    assert small.save(tmp_path / "p") == tmp_path / "p"
    assert not list(tmp_path.iterdir())


def test_save_replaces_an_older_predictor(small, copied):
    other = small.member(2)
    assert other.save(copied) == copied
    assert_same(Predictor.load(copied), other)
    assert [p.name for p in copied.parent.iterdir()] == ["predictor"]


def test_save_refuses_what_is_not_a_predictor(small, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("all my work")
    (tmp_path / "file").write_text("mine")
    for name in ("thesis", "file"):
        with pytest.raises(FileExistsError, match=f"{name} exists and holds no saved predictor"):
            small.save(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "all my work"
    assert (tmp_path / "file").read_text() == "mine"


class Killed(BaseException):
    """What ends the process; no `except Exception` catches it."""


def killed_at(monkeypatch, owner, name, call):
    """Ends the process at the n-th call of a function, before it does anything."""
    calls, function = [], getattr(owner, name)

    def fail(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise Killed
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Path, "mkdir", 2),  # the folder itself
        (np, "savez", 1),
        (Path, "write_text", 1),
        (Path, "write_text", 2),
        (description, "to_json", 1),
        (Path, "rename", 1),  # the old one is set aside
        (Path, "replace", 1),  # the new one takes its place
        (shutil, "rmtree", 1),  # the old one is removed
    ],
)
def test_a_kill_leaves_the_old_or_the_new_predictor_whole(
    small, copied, tmp_path, monkeypatch, owner, name, call, new
):
    path = tmp_path / "new" if new else copied
    other = small.member(0)
    with monkeypatch.context() as patch:
        killed_at(patch, owner, name, call)
        try:
            other.save(path)
        except Killed:
            finished = name == "rmtree"  # what comes after does not matter
        else:
            finished = True  # a new path has nothing to set aside
    if finished:
        assert_same(Predictor.load(path), other)
    elif new:
        assert not path.exists()
    else:
        assert_same(Predictor.load(path), small)
    if name != "rmtree":
        left = {p.name for p in tmp_path.iterdir()}
        assert left == {"predictor"} | ({"new"} if finished and new else set())


def test_load_of_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match="holds no saved predictor"):
            Predictor.load(path)
