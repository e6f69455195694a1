"""Experiments on a data set in three splits, on a tiny synthetic one."""

import json

import numpy as np
import pytest

from lddu.data.card import Findings, make_card
from lddu.data.dataset import Dataset, Split
from lddu.predictor import Predictor
from lddu.runs import experiment, results
from lddu.runs.folder import read_run
from lddu.runs.options import Options
from lddu.runs.predictions import RunPredictions
from lddu.runs.tables import Published

# Of `tiny_config`, so that its compiled programs serve here too.
TINY = ("train.epochs=2", "model.statistics=8")
PUBLISHED = (Published("Theirs", {"micro_f1": ".58"}, "epoch chosen on test"),)


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


@pytest.fixture(scope="module")
def honest(dataset, tmp_path_factory):
    """A run under the validation protocol, its folder, and the rows of each pass over data."""
    folder = tmp_path_factory.mktemp("honest")
    options = Options("tiny", seeds=2, set=TINY, out=folder)
    passes, members = [], Predictor.members

    def counted(self, batch, **kwargs):
        passes.append(batch.size)
        return members(self, batch, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "members", counted)
        patch.setattr(Predictor, "predict", None)  # would be another pass
        return experiment.run(dataset, options, "A run", PUBLISHED), folder, passes


def test_options_change_the_preset(dataset):
    options = Options("tiny", seeds=3, set=("train.epochs=7", "execution.devices=1"))
    cfg = experiment.configure(dataset, options)
    assert (cfg.train.members, cfg.train.epochs, cfg.execution.devices) == (3, 7, 1)
    assert cfg.model.labels == dataset.labels
    assert set(cfg.model.modality_names) == set(dataset.shapes())


@pytest.mark.slow
def test_a_run_leaves_everything_behind(dataset, honest):
    run, folder, _ = honest
    names = {"lddu", "lddu_calibrated", "lddu_ensemble", "lddu_ensemble_calibrated"}
    assert set(run.table) == names | {"prior", "logistic", "forest"}
    assert run.table["lddu"]["nll"]["n"] == 2
    assert run.table["lddu_ensemble"]["nll"]["n"] == 1
    assert json.loads((folder / "card.json").read_text())["name"] == "made"
    assert results.read_results(folder)["models"] == run.table
    kept = RunPredictions.load(folder)
    assert (kept.protocol, kept.main) == ("validation", "lddu_ensemble_calibrated")
    np.testing.assert_array_equal(kept.ids, dataset.test.ids)
    scores = kept.models["lddu_calibrated"].scores(kept.labels)
    assert np.mean([s["nll"] for s in scores]) == pytest.approx(
        run.table["lddu_calibrated"]["nll"]["mean"], rel=1e-5
    )
    text = (folder / "report.html").read_text()
    assert "Theirs" in text
    assert "chosen on validation" in text
    assert (folder / "predictor" / "predictor.json").is_file()
    detail = read_run(folder).detail
    np.testing.assert_allclose(detail.epistemic, run.detail.epistemic, rtol=1e-6)


@pytest.mark.slow
def test_members_pass_over_validation_and_test_data_once(dataset, honest):
    assert honest[2] == [dataset.valid.batch.size, dataset.test.batch.size]


@pytest.mark.slow
def test_the_validation_protocol_does_not_look_at_test_labels(dataset, honest, tmp_path):
    _, folder, _ = honest
    flipped = dataset.test.batch.replace(labels=1 - dataset.test.batch.labels)
    other = Dataset(
        dataset.train,
        dataset.valid,
        Split(flipped, dataset.test.ids),
        dataset.labels,
        dataset.card,
    )
    options = Options("tiny", seeds=2, set=TINY, out=tmp_path)
    experiment.run(other, options, "Flipped")
    first, second = RunPredictions.load(folder), RunPredictions.load(tmp_path)
    for name, model in first.models.items():
        # Equal to rounding: a forest adds its trees in the order in which threads finish.
        np.testing.assert_allclose(model.probs, second.models[name].probs, rtol=1e-5)
        np.testing.assert_allclose(model.thresholds, second.models[name].thresholds, rtol=1e-5)


@pytest.mark.slow
def test_the_official_protocol_says_so_everywhere(dataset, tmp_path, capsys):
    options = Options("tiny", seeds=1, protocol="official", set=TINY, out=tmp_path)
    run = experiment.run(dataset, options, "A run", PUBLISHED)
    assert len(run.table) == 2
    assert all("TEST" in name for name in run.table)
    assert "SELECTED ON TEST" in capsys.readouterr().out
    assert all("TEST" in name for name in results.read_results(tmp_path)["models"])
    text = (tmp_path / "report.html").read_text()
    assert "selected on test" in text
    assert "SELECTED ON TEST" in text
    assert RunPredictions.load(tmp_path).protocol == "official"
    assert not (tmp_path / "predictor").exists()


def test_soft_labels_train_only_when_asked(dataset, monkeypatch, tmp_path):
    trained = []

    class Enough(Exception):
        """Ends the experiment where training would start."""

    def train(cfg, rows, valid, folder):
        trained.append((rows.labels, valid))
        raise Enough

    monkeypatch.setattr(experiment, "train_only", train)
    for soft in (True, False):
        with pytest.raises(Enough):
            experiment.evaluate(None, dataset, tmp_path, soft=soft)
    assert trained[0][0] is dataset.train.soft
    assert trained[1][0] is dataset.train.batch.labels
    assert all(valid is dataset.valid.batch for _, valid in trained)
