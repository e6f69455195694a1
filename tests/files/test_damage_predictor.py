"""Every saved file of a predictor or a run, damaged in every part: a ValueError that names it."""

import dataclasses

import numpy as np
import pytest

from lddu import calibration
from lddu.config import Config
from lddu.data.card import Card, Findings, Source, make_card
from lddu.files import damage_named
from lddu.predictor import Predictor, description
from lddu.predictor.run_folder import claim, note_execution
from lddu.runs.predictions import ModelPredictions, RunPredictions
from lddu.runs.results import read_results, write_results


@pytest.fixture
def saved(toy, tmp_path):
    return toy.save(tmp_path / "predictor")


def description_of(saved):
    """The path of predictor.json, and a function that reads it."""
    config = Config.from_json((saved / "config.json").read_bytes())
    return saved / "predictor.json", lambda: description.read(saved / "predictor.json", config)


def test_predictor_json(saved, read_damaged):
    file, read = description_of(saved)
    read_damaged(read, file, 300)
    values = {"null": "null", "deep list": "[" * 10_000}
    read_damaged(lambda: Predictor.load(saved), file, 40, values=values)


@pytest.mark.parametrize(
    "state",
    [
        calibration.Platt(np.ones(2), np.zeros(2)),
        calibration.Beta(np.ones(2), np.ones(2), np.zeros(2)),
        calibration.Isotonic(*np.tile(np.arange(4.0), (2, 2, 1)).swapaxes(1, 2)),
        calibration.Matrix(np.eye(2), np.zeros(2)),
    ],
    ids=lambda state: type(state).__name__,
)
def test_calibrators(toy, tmp_path, read_damaged, state):
    saved = dataclasses.replace(toy, calibrator=state).save(tmp_path / "predictor")
    file, read = description_of(saved)
    read_damaged(read, file, 60, below="calibrator")


def test_config(saved, read_damaged):
    def read():
        try:
            Config.from_json((saved / "config.json").read_bytes())
        except ValueError as error:
            raise ValueError(f"config.json: {error}") from error

    read_damaged(read, saved / "config.json", 600)


def test_config_json(saved, read_damaged):
    names, values = ["params.npz", "predictor.json"], {"vast": "1000000000"}
    file = saved / "config.json"
    read_damaged(lambda: Predictor.load(saved), file, 40, names, values, below="model")


def test_params(saved, read_damaged):
    read_damaged(lambda: Predictor.load(saved), saved / "params.npz", 45)


def test_results(tmp_path, read_damaged):
    table = {"lddu": {"nll": {"mean": 0.5, "std": 0.1, "n": 3}}}
    path = write_results(tmp_path, table, {"epochs": 3}, 1.5, "a command")
    read_damaged(lambda: read_results(tmp_path), path, 60)


def test_run_folder(tmp_path, toy_config, toy_data, read_damaged):
    claim(tmp_path, toy_config, toy_data, toy_data)
    note_execution(tmp_path, toy_config, {"devices": 1})

    def read():
        claim(tmp_path, toy_config, toy_data, toy_data)
        note_execution(tmp_path, toy_config, {"devices": 1})

    for name, at_least in (("data.json", 30), ("execution.json", 30)):
        whole = (tmp_path / name).read_bytes()
        read_damaged(read, tmp_path / name, at_least, [tmp_path.name])
        (tmp_path / name).write_bytes(whole)


def test_predictions(tmp_path, read_damaged):
    rng = np.random.default_rng(0)
    models = {
        "a": ModelPredictions(rng.random((2, 5, 3)), np.full((2, 3), 0.5)),
        "b": ModelPredictions(rng.random((1, 5, 3)), np.full((1, 5, 3), 0.5)),
    }
    ids, labels = np.array(list("vwxyz")), rng.integers(0, 2, (5, 3))
    path = RunPredictions(ids, labels, ("x", "y", "z"), "validation", "a", models).save(tmp_path)
    read_damaged(lambda: RunPredictions.load(tmp_path), path, 50)


def test_card(tmp_path, tiny_data, read_damaged):
    batch, labels = tiny_data[2].batch, tiny_data[2].config.labels
    sources = (Source("a.bin", 3, "0" * 64),)
    card = make_card("n", "l", "t", sources, {"test": batch}, labels, {"test": 3}, Findings())
    path = tmp_path / "card.json"
    path.write_text(card.to_json())

    def read():
        with damage_named(path):
            Card.from_json(path.read_bytes()).to_text()

    read_damaged(read, path, 100)
