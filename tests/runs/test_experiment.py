"""Experiments on a data set in three splits, on a tiny synthetic one."""

import json

import numpy as np
import pytest

from lddu.data.card import Findings, make_card
from lddu.data.dataset import Dataset, Split
from lddu.runs import experiment, results
from lddu.runs.predictions import Predictions

pytestmark = pytest.mark.slow  # whole runs

TINY = ("train.epochs=1", "model.statistics=4")


@pytest.fixture(scope="module")
def dataset(tiny_data):
    """The session's synthetic draws as a `Dataset`, with soft labels for training."""
    splits, config = {}, tiny_data[0].config
    for name, drawn in zip(("train", "valid", "test"), tiny_data, strict=True):
        ids = np.array([f"{name} {i}" for i in range(drawn.batch.size)])
        soft = np.clip(drawn.batch.labels, 0.1, 0.9)
        splits[name] = Split(drawn.batch, ids, soft)
    batches = {name: split.batch for name, split in splits.items()}
    card = make_card("made", "drawn", "labels", (), batches, config.labels, {}, Findings())
    return Dataset(**splits, labels=config.labels, card=card)


PUBLISHED = (results.Published("Theirs", {"micro_f1": ".58"}, "epoch chosen on test"),)


@pytest.fixture(scope="module")
def honest(dataset, tmp_path_factory):
    """A run under the validation protocol: its table and its folder."""
    folder = tmp_path_factory.mktemp("honest")
    options = experiment.Options("tiny", seeds=2, set=TINY, out=folder)
    return experiment.run(dataset, options, "A run", PUBLISHED), folder


def test_a_run_leaves_everything_behind(dataset, honest):
    table, folder = honest
    names = {"lddu", "lddu_calibrated", "lddu_ensemble", "lddu_ensemble_calibrated"}
    assert set(table) == names | {"prior", "logistic", "forest"}
    assert table["lddu"]["nll"]["n"] == 2
    assert table["lddu_ensemble"]["nll"]["n"] == 1
    assert json.loads((folder / "card.json").read_text())["name"] == "made"
    kept = Predictions.load(folder)
    assert kept.protocol == "validation"
    np.testing.assert_array_equal(kept.ids, dataset.test.ids)
    scores = kept.models["lddu_calibrated"].scores(kept.labels)
    assert np.mean([s["nll"] for s in scores]) == pytest.approx(
        table["lddu_calibrated"]["nll"]["mean"], rel=1e-5
    )
    text = (folder / "report.html").read_text()
    assert "Theirs" in text
    assert "chosen on validation" in text
    assert (folder / "predictor" / "predictor.json").is_file()


def test_the_validation_protocol_does_not_look_at_test_labels(dataset, honest, tmp_path):
    _, folder = honest
    flipped = dataset.test.batch.replace(labels=1 - dataset.test.batch.labels)
    other = Dataset(
        dataset.train,
        dataset.valid,
        Split(flipped, dataset.test.ids),
        dataset.labels,
        dataset.card,
    )
    options = experiment.Options("tiny", seeds=2, set=TINY, out=tmp_path)
    experiment.run(other, options, "Flipped")
    first, second = Predictions.load(folder), Predictions.load(tmp_path)
    for name, model in first.models.items():
        np.testing.assert_array_equal(model.probs, second.models[name].probs)
        # A forest adds its trees in the order in which threads finish.
        np.testing.assert_allclose(model.thresholds, second.models[name].thresholds, rtol=1e-12)


def test_the_official_protocol_says_so_everywhere(dataset, tmp_path, capsys):
    options = experiment.Options(
        "tiny", seeds=1, protocol="official", set=(*TINY, "train.seed=1"), out=tmp_path
    )
    table = experiment.run(dataset, options, "A run", PUBLISHED)
    assert len(table) == 4
    assert all("TEST" in name for name in table)
    assert "SELECTED ON TEST" in capsys.readouterr().out
    stored = results.read_results(tmp_path / "results.json")
    assert all("TEST" in name for name in stored["models"])
    text = (tmp_path / "report.html").read_text()
    assert "selected on test" in text
    assert "SELECTED ON TEST" in text
    kept = Predictions.load(tmp_path)
    assert kept.protocol == "official"
    # Its threshold is the best on the test split, so no other does better there.
    best = kept.models["lddu_ensemble [epoch and threshold chosen on TEST]"]
    half = kept.models["lddu_ensemble [epoch chosen on TEST]"]
    f1 = [m.scores(kept.labels)[0]["micro_f1"] for m in (best, half)]
    assert f1[0] >= f1[1]


def test_soft_labels_train_only_when_asked(dataset):
    assert dataset.train.soft_batch().labels is dataset.train.soft
    assert Split(dataset.train.batch, dataset.train.ids).soft_batch() is dataset.train.batch
