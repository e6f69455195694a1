"""The verbs that read and write tables: predict, evaluate, calibrate, conformal, data."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from lddu import calibration, cli, metrics
from lddu.runs import columns, probabilities


@pytest.fixture(autouse=True)
def stand(trained, monkeypatch):
    """Runs every command where the user stands."""
    monkeypatch.chdir(trained)


@pytest.fixture
def table(tmp_path, predictor, tiny_data):
    """A file with the predictions for the test split, written by `lddu predict`."""
    path = tmp_path / "predictions.csv"
    cli.main(["predict", "runs/mine", "mydata", "--split", "test", "-o", str(path)])
    return path


def test_predictions_are_those_of_the_predictor(table, predictor, tiny_data):
    rows = list(csv.DictReader(table.open()))
    expected = predictor.predict(tiny_data[2].batch)
    decided = predictor.decide(expected)
    assert [row["id"] for row in rows] == [f"test {i}" for i in range(len(rows))]
    for c, label in enumerate(predictor.labels):
        for name, values in (
            (f"prob_{label}", expected.probs[:, c]),
            (f"aleatoric_{label}", expected.aleatoric[:, c]),
            (f"epistemic_{label}", expected.epistemic[:, c]),
            (f"decided_{label}", decided[:, c]),
            (label, tiny_data[2].batch.labels[:, c]),
        ):
            np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-6)
        for m, modality in enumerate(predictor.config.model.modality_names):
            shown = [float(row[f"weight_{label}_{modality}"]) for row in rows]
            np.testing.assert_allclose(shown, expected.weights[:, c, m], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("suffix", ["jsonl", "npz", "parquet"])
def test_other_forms_hold_the_same(table, tmp_path, suffix):
    out = tmp_path / f"predictions.{suffix}"
    cli.main(["predict", "runs/mine", "mydata", "--split", "test", "-o", str(out)])
    name = next(k for k in csv.DictReader(table.open()).fieldnames if k.startswith("prob_"))
    expected = [float(row[name]) for row in csv.DictReader(table.open())]
    if suffix == "jsonl":
        values = [json.loads(line)[name] for line in out.read_text().splitlines()]
    elif suffix == "npz":
        values = np.load(out)[name]
    else:
        values = pq.read_table(out).column(name).to_pylist()
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_samples_without_labels_or_splits_are_predicted(trained, tmp_path, predictor, table):
    folder = tmp_path / "new"
    folder.mkdir()
    for file in (trained / "mydata").glob("*.npz"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "samples.csv").write_text("id\ntest 3\ntrain 0\n")
    out = tmp_path / "new.csv"
    cli.main(["predict", "runs/mine", str(folder), "-o", str(out)])
    first, _ = csv.DictReader(out.open())
    known = list(csv.DictReader(table.open()))[3]
    assert first["id"] == known["id"] == "test 3"
    assert not set(predictor.labels) & set(first)
    for name in first:
        if name.startswith("prob_"):
            assert float(first[name]) == pytest.approx(float(known[name]), rel=1e-5)


def test_scores_are_printed_with_intervals(tmp_path, predictor, tiny_data, capsys):
    out = tmp_path / "scores.json"
    words = ["evaluate", "runs/mine", "mydata", "--resamples", "50", "--out", str(out)]
    cli.main(words)
    assert "rms_calibration_error" in capsys.readouterr().out
    test = tiny_data[2].batch
    score = metrics.nll(predictor.predict(test).probs, test.labels)
    figures = json.loads(out.read_text())["nll"]
    assert figures["estimate"] == pytest.approx(score, rel=1e-6)
    assert figures["low"] <= figures["estimate"] <= figures["high"]


def test_weights_of_samples_count_in_their_scores(trained, tmp_path, predictor, tiny_data, capsys):
    shutil.copytree(trained / "mydata", tmp_path / "weighted")
    table = tmp_path / "weighted" / "samples.csv"
    head, *rows = table.read_text().splitlines()
    weighted = [f"{row},{i % 4}" for i, row in enumerate(rows)]
    table.write_text("\n".join([f"{head},weight", *weighted]) + "\n")
    out = tmp_path / "scores.json"
    words = ["evaluate", "runs/mine", str(table.parent), "--resamples", "20", "--out", str(out)]
    cli.main(words)
    assert "test, weighted;" in capsys.readouterr().out
    test = tiny_data[2].batch
    probs, weights = predictor.predict(test).probs, np.arange(len(rows))[-test.size :] % 4
    figures = json.loads(out.read_text())
    for name, score in (("nll", metrics.nll), ("auroc", metrics.auroc)):
        expected = score(probs, test.labels, weights=weights)
        assert figures[name]["estimate"] == pytest.approx(expected, rel=1e-6)
        assert figures[name]["estimate"] != pytest.approx(score(probs, test.labels), rel=1e-6)


def test_a_table_is_calibrated_and_the_calibrator_used(table, tmp_path, capsys):
    state, out = tmp_path / "calibrator.json", tmp_path / "calibrated.csv"
    cli.main(["calibrate", str(table), "-o", str(state), "--method", "platt", "--folds", "3"])
    assert "before" in capsys.readouterr().out
    cli.main(["calibrate", str(table), "--use", str(state), "-o", str(out)])
    before, after = probabilities.read(table), probabilities.read(out)
    logits = calibration.logit(before.probs)
    fitted = calibration.fit_platt(logits, before.labels)
    expected = 1 / (1 + np.exp(-np.asarray(calibration.apply(fitted, logits), float)))
    np.testing.assert_allclose(after.probs, expected, rtol=1e-5)
    np.testing.assert_array_equal(after.labels, before.labels)


def test_a_run_is_calibrated_again(tmp_path, capsys):
    out = tmp_path / "again"
    cli.main(["calibrate", "runs/mine", "mydata", "-o", str(out), "--method", "vector"])
    assert "uncalibrated" in capsys.readouterr().out
    assert (out / "predictor.json").exists()


def test_label_sets_are_fitted_and_added(table, tmp_path, predictor, capsys):
    sets, out = tmp_path / "sets.json", tmp_path / "with_sets.csv"
    cli.main(["conformal", str(table), "--false-negative-rate", "0.2", "-o", str(sets)])
    assert "at most 20% of true labels missed" in capsys.readouterr().out
    split = ["--split", "test"]
    cli.main(["predict", "runs/mine", "mydata", *split, "-o", str(out), "--sets", str(sets)])
    rows = probabilities.read(table)
    fitted = calibration.conformal.fit_false_negative_rate(
        rows.probs, rows.labels, 0.2, groups=rows.groups
    )
    expected = calibration.conformal.apply(fitted, rows.probs)
    written = list(csv.DictReader(out.open()))
    for c, label in enumerate(predictor.labels):
        assert [row[f"in_set_{label}"] for row in written] == [str(int(x)) for x in expected[:, c]]


@pytest.mark.parametrize("per_label", [[], ["--per-label"]])
def test_sets_that_nothing_supports_are_kept_as_they_are(table, tmp_path, capsys, per_label):
    sets = tmp_path / "sets.json"
    cli.main(["conformal", str(table), "--precision", "0.999", *per_label, "-o", str(sets)])
    assert "a fallback" in capsys.readouterr().out
    cli.main(["predict", "runs/mine", "mydata", "--sets", str(sets), "-o", str(tmp_path / "x.csv")])


def test_data_are_described_checked_and_divided(trained, capsys):
    cli.main(["data", "card", "mydata"])
    assert "positives" in capsys.readouterr().out
    cli.main(["data", "card", "mydata", "--json"])
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["samples"] == 40
    cli.main(["data", "check", "mydata"])
    assert "can be trained on" in capsys.readouterr().out
    cli.main(["data", "split", "undivided/all.csv", "-o", "undivided/divided.csv"])
    rows = list(csv.DictReader((trained / "undivided" / "divided.csv").open()))
    assert {row["split"] for row in rows} == {"train", "valid", "test"}
    owners = {}
    for row in rows:
        owners.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in owners.values())
    (trained / "undivided" / "divided.csv").unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "runs/mine", "nowhere", "-o", "x.csv"], "nowhere does not exist"),
        (["predict", "runs/none", "mydata", "-o", "x.csv"], "holds no saved predictor"),
        (["predict", "runs/mine", "mydata", "-o", "x.doc"], r"must end in \.csv"),
        (["predict", "runs/mine", "mydata", "--split", "dev2", "-o", "x.csv"], "split='dev2'"),
        (["calibrate", "mydata/samples.csv"], "has no column prob_<label>"),
        (["calibrate", "none.csv"], "there is no file none.csv"),
        (["calibrate", "runs/mine"], "name the DATA"),
        (["conformal", "mydata/samples.csv", "-o", "x.json"], "give one of"),
    ],
)
def test_mistakes_are_named(words, message):
    with pytest.raises(SystemExit, match=message):
        cli.main(words)


def test_states_of_other_labels_are_refused(table, tmp_path):
    sets = tmp_path / "sets.json"
    cli.main(["conformal", str(table), "--false-negative-rate", "0.2", "-o", str(sets)])
    content = json.loads(sets.read_text())
    for damage, message in (
        ({"labels": ["x"]}, "was fitted for labels"),
        ({"threshold": [0.5]}, "is damaged"),
        ({"rank": 3}, "is damaged"),
        ({"found": "yes"}, "is damaged"),
    ):
        broken = tmp_path / "broken.json"
        broken.write_text(json.dumps({**content, **damage}))
        with pytest.raises(SystemExit, match=message):
            cli.main(
                [
                    "predict",
                    "runs/mine",
                    "mydata",
                    "--sets",
                    str(broken),
                    "-o",
                    str(tmp_path / "y.csv"),
                ]
            )


def test_a_file_of_columns_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.csv"
    columns.write(path, {"id": np.array(["a", "b"]), "prob_joy": np.array([0.5, np.nan])})
    assert path.read_text().splitlines() == ["id,prob_joy", "a,0.5", "b,"]
    with pytest.raises(ValueError, match="zip"):
        columns.write(path, {"id": np.array(["a"]), "prob_joy": np.array([0.5, 1.0])})
    assert path.read_text().startswith("id,prob_joy")
