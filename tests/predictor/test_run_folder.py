"""The folder of a run: whom it belongs to, and how it was computed."""

import json

import numpy as np
import pytest

from lddu import config
from lddu.config import Config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.predictor.run_folder import claim, note_execution

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)
CONFIG = config.tiny({"x": (3, 4)}, LAW.labels)


@pytest.fixture(scope="module")
def data():
    return generate(6, seed=1, config=LAW).batch, generate(4, seed=2, config=LAW).batch


@pytest.fixture
def folder(tmp_path, data):
    """A claimed folder."""
    return claim(tmp_path / "deep" / "run", CONFIG, *data)


def test_a_new_folder_gets_configuration_and_data(folder):
    assert Config.from_json((folder / "config.json").read_text()) == CONFIG
    fingerprints = json.loads((folder / "data.json").read_text())
    assert set(fingerprints) == {"train", "valid"}
    assert fingerprints["train"] != fingerprints["valid"]
    assert not (folder / "execution.json").exists()


def test_the_same_run_may_come_back(folder, data):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert claim(folder, CONFIG, *data) == folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": 4},
        {"parallel_members": "always"},
        {"steps_per_dispatch": 8},
        {"packing": False},
        {"attention": "blocked"},
        {"row_block": 16},
        {"devices": 2, "row_block": 4, "packing": False},
    ],
)
def test_execution_settings_may_change(folder, data, changes):
    changed = config.replace(CONFIG, {f"execution.{k}": v for k, v in changes.items()})
    claim(folder, changed, *data)
    # The configuration of the run stays what it began with.
    assert Config.from_json((folder / "config.json").read_text()) == CONFIG


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("execution.dtype", "bfloat16", "execution.dtype was 'float32', is 'bfloat16'"),
        ("train.learning_rate", 0.5, "train.learning_rate was 0.01, is 0.5"),
        ("train.seed", 7, "train.seed was 0, is 7"),
        ("train.epochs", 9, "train.epochs was 3, is 9"),
        ("train.members", 2, "train.members was 1, is 2"),
        ("train.optimizer", "bert_adam", "train.optimizer was 'adamw', is 'bert_adam'"),
        ("model.encoder.layers", 2, "model.encoder.layers was 1, is 2"),
        ("model.labels", ("a", "c"), "model.labels was ('a', 'b'), is ('a', 'c')"),
        ("loss.kl", 0.5, "loss.kl was 0.001, is 0.5"),
        ("loss.similarity", "bhattacharyya", "was 'cosine', is 'bhattacharyya'"),
        ("calibration.method", "beta", "calibration.method was 'temperature', is 'beta'"),
        ("calibration.shrinkage", 2.0, "calibration.shrinkage was None, is 2.0"),
    ],
)
def test_a_setting_that_changes_the_result_is_refused_by_name(folder, data, path, value, message):
    with pytest.raises(ValueError) as error:
        claim(folder, config.replace(CONFIG, {path: value}), *data)
    text = str(error.value)
    assert text.startswith(f"{folder} holds a run of another configuration: ")
    assert message in text
    assert text.count(" was ") == 1
    assert str(folder / "config.json") in text


def test_every_setting_that_differs_is_named(folder, data):
    changes = {"train.seed": 1, "loss.kl": 0.0, "execution.dtype": "bfloat16"}
    with pytest.raises(ValueError) as error:
        claim(folder, config.replace(CONFIG, {**changes, "execution.devices": 3}), *data)
    assert all(f"{name} was" in str(error.value) for name in changes)
    assert "devices" not in str(error.value)


def test_other_data_are_refused(folder, data):
    train, valid = data
    labels = np.asarray(train.labels).copy()
    labels[0, 0] = 1 - labels[0, 0]
    for other in ((train.replace(labels=labels), valid), (train, train), (valid, train)):
        with pytest.raises(ValueError, match="holds a run on other data"):
            claim(folder, CONFIG, *other)
    claim(folder, CONFIG, *data)


def test_each_way_of_computing_is_noted_once(folder):
    used = {"devices": 1, "processes": 1, "members_together": 1}
    four = config.replace(CONFIG, {"execution.devices": 4})
    for _ in range(2):
        note_execution(folder, CONFIG, used)
        note_execution(folder, four, {**used, "devices": 4})
    first, second = json.loads((folder / "execution.json").read_text())
    assert first["settings"]["devices"] == 0
    assert second["settings"]["devices"] == 4
    assert [entry["used"]["devices"] for entry in (first, second)] == [1, 4]
    assert set(first["used"]) == {*used, "platform", "jax"}
    # The same settings may come to another number of devices on another machine.
    note_execution(folder, CONFIG, {**used, "devices": 8})
    assert len(json.loads((folder / "execution.json").read_text())) == 3
