import numpy as np
import pytest

from lddu import cli
from lddu.runs.predictions import Predictions, Scored


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 2))
    models = {"lddu": Scored(rng.random((1, 50, 2)), np.full((1, 2), 0.5))}
    ids = np.arange(50).astype(str)
    Predictions(ids, labels, ("a", "b"), "validation", models).save(tmp_path)
    return str(tmp_path)


def test_compare_prints_tables(run, capsys):
    cli.main(["compare", run, run, "--resamples", "5", "--level", "0.8"])
    text = capsys.readouterr().out
    assert "80% interval" in text
    assert f"{run}:lddu minus {run}:lddu" in text


def test_mistakes_end_with_a_message_and_no_traceback(run, tmp_path):
    with pytest.raises(SystemExit, match=r"lddu: there is no .*predictions\.npz"):
        cli.main(["compare", run, str(tmp_path / "elsewhere")])
    with pytest.raises(SystemExit, match="at least two"):
        cli.main(["compare", run])


def test_unknown_commands_are_refused():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["compute"])
    assert stopped.value.code == 2


def test_export_of_a_folder_without_a_predictor_is_a_mistake(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SystemExit, match=r"lddu: .* holds no saved predictor"):
            cli.main(["export", str(folder), str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())
