"""`lddu train`, from a table to a run folder, continued and repeated."""

import json

import numpy as np
import pytest

from lddu import cli
from lddu.runs import experiment
from lddu.runs.predictions import RunPredictions


@pytest.mark.slow
def test_a_run_is_written_and_can_be_repeated_exactly(place, example, short, monkeypatch, capsys):
    monkeypatch.chdir(place)
    words = [*example("train"), *short, "--out", "runs/first"]
    cli.main(words)
    assert "lddu_calibrated" in capsys.readouterr().out
    files = {file.name for file in (place / "runs" / "first").iterdir()}
    assert {"train.json", "config.json", "card.json", "predictor", "report.html"} <= files
    cli.main(["train", "--config", "runs/first/train.json", "--out", "runs/again"])
    first, again = (RunPredictions.load(place / "runs" / name) for name in ("first", "again"))
    assert first.ids.tolist() == again.ids.tolist()
    for name, model in first.models.items():
        np.testing.assert_array_equal(model.probs, again.models[name].probs)
    command = json.loads((place / "runs" / "again" / "results.json").read_text())["command"]
    assert command


def test_a_stopped_run_says_how_to_go_on(place, monkeypatch, capsys, tmp_path):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run", interrupt)
    monkeypatch.chdir(place)
    words = ["train", "mydata", "--preset", "tiny", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 130
    again = f"lddu train --config {tmp_path / 'run' / 'train.json'} --out {tmp_path / 'run'}"
    assert again in capsys.readouterr().err
    # What it says works: the same recipe, in the same folder.
    with pytest.raises(SystemExit):
        cli.main(again.split()[1:])
    recipe = (tmp_path / "run" / "train.json").read_bytes()
    for option, message in (
        (["--no-soft"], "soft=True, not False"),
        (["--set", "train.epochs=99"], "train.epochs was [0-9]+, is 99"),
    ):
        with pytest.raises(SystemExit, match=message):
            cli.main([*words, *option])
    assert (tmp_path / "run" / "train.json").read_bytes() == recipe


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the DATA to train on"),
        (["nowhere"], "nowhere does not exist"),
        (["mydata", "--set", "train.epoch=1"], "no field 'train.epoch'"),
        (["mydata", "--set", "train.epochs"], "is not of the form path=value"),
        (["--config", "mydata/dataset.json"], "dataset.json is damaged: unknown key"),
        (["undivided"], "has no column 'split'"),
    ],
)
def test_mistakes_are_named(place, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit, match=message):
        cli.main(["train", *words, "--out", str(tmp_path / "run")])
