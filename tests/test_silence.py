"""No public call warns, logs or prints: what a dependency has to say is settled inside."""

import contextlib
import logging
import warnings

import numpy as np
import pytest

import lddu
from lddu import config, metrics, uncertainty
from lddu.data.cache import cached
from lddu.data.card import Card
from lddu.data.dataset import Dataset, Split
from lddu.data.mosei.splits import read_folds
from lddu.export import reader, stablehlo
from lddu.runs.comparison import compare, format_comparison
from lddu.runs.folder import write_run
from lddu.runs.predictions import ModelPredictions, RunPredictions
from lddu.runs.results import read_results
from lddu.runs.run import Run


@contextlib.contextmanager
def silence(caplog, capfd):
    """Fails on a warning, on a record of any logger from WARNING on, and on a line on stderr."""
    capfd.readouterr()
    caplog.clear()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        yield
    assert [record.getMessage() for record in caplog.records] == []
    assert capfd.readouterr().err == ""


@pytest.fixture
def silent(caplog, capfd):
    """Everything in the test must be silent."""
    with silence(caplog, capfd):
        yield


def test_training_and_its_continuation(silent, tmp_path, toy_config, toy_data):
    cfg = config.replace(toy_config, {"train.epochs": 2, "train.members": 1})
    lddu.fit(cfg, toy_data, toy_data, folder=tmp_path, progress=False)
    metrics_file = tmp_path / "member-0" / "metrics.jsonl"
    first = metrics_file.read_text().splitlines(keepends=True)[0]
    metrics_file.write_text(first)
    lddu.fit(cfg, toy_data, toy_data, folder=tmp_path, progress=False)


@pytest.mark.parametrize("method", ["none", "temperature", "platt", "vector", "choose"])
def test_calibration(silent, toy, toy_data, toy_members, method):
    changed = config.replace(toy.config, {"calibration.method": method})
    predictor = lddu.Predictor(**{**vars(toy), "config": changed})
    lddu.calibrate(predictor, toy_data, members=toy_members)


def test_prediction(silent, toy, toy_data):
    prediction = toy.predict(toy_data, batch_size=40)
    list(toy.predict_batches([toy_data], batch_size=40))
    toy.decide(prediction)
    probs = toy.member_probs(toy_data, batch_size=40)
    toy.dropout_probs(toy_data, samples=2, batch_size=40)
    uncertainty.decompose_entropy(probs)
    uncertainty.decompose_variance(probs)
    metrics.summarise(prediction.probs, toy_data.labels)


def test_saving_loading_and_exporting(silent, toy, toy_data, tmp_path):
    loaded = lddu.Predictor.load(toy.save(tmp_path / "predictor"))
    path = stablehlo.export(loaded, tmp_path / "m.lddu", "cpu")
    reader.load(path)(toy_data)


def test_runs(silent, toy_config, tmp_path):
    rng = np.random.default_rng(0)
    half = np.full((1, 2), 0.5)
    models = {name: ModelPredictions(rng.random((1, 60, 2)), half) for name in ("lddu", "base")}
    labels = np.tile([[1, 0], [0, 1]], (30, 1))
    predictions = RunPredictions(np.arange(60), labels, ("a", "b"), "validation", "lddu", models)
    history = [
        {"member": 0, "epoch": e, "train_nll": 1 / e, "valid_nll": 1 / e, "valid_micro_f1": 0.5}
        for e in (1, 2)
    ]
    weights = rng.dirichlet([1, 1], (60, 2))
    run = Run("A run", toy_config, predictions, predictions.table(), 1.0, "a command", history)
    write_run(tmp_path, Run(**{**vars(run), "weights": weights}))
    read_results(tmp_path)
    format_comparison(compare([tmp_path, f"{tmp_path}:base"], resamples=20, progress=False))


def test_prepared_data(silent, toy_data, tmp_path):
    ids = np.array([f"sample {i}" for i in range(toy_data.size)])
    split = Split(toy_data, ids, None)
    made = Dataset(split, split, split, ("a", "b"), Card("n", "l", "t", (), {}, {}, ()))
    for _ in range(2):
        cached({"k": 1}, lambda allocate: made, tmp_path)


def test_folds_with_escapes(silent, tmp_path):
    path = tmp_path / "cmu_mosei_std_folds.py"
    folds = (f"standard_{name}_fold = ['{name}']" for name in ("train", "valid", "test"))
    path.write_text("\n".join([*folds, r"note = '\d'"]))
    assert read_folds(path)["train"] == ["train"]
