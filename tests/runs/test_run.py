import numpy as np

from lddu.runs import report, results
from lddu.runs.predictions import RunPredictions


def test_a_run_folder_holds_predictions_results_and_report(make_run, tmp_path):
    run = make_run()
    path = run.save(tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"predictions.npz", "results.json", "report.html"}
    assert "A run" in path.read_text(encoding="utf-8")
    stored = results.read_results(path.parent)
    assert stored["models"] == run.table
    assert (stored["command"], stored["seconds"]) == (run.command, run.seconds)
    loaded = RunPredictions.load(path.parent)
    assert loaded.main == run.predictions.main
    np.testing.assert_array_equal(loaded.labels, run.predictions.labels)


def test_the_table_of_a_run_is_that_of_its_predictions(make_run):
    predictions = make_run().predictions
    run = make_run(table=predictions.table())
    assert list(run.table) == ["base", "lddu"]
    scores = predictions.models["lddu"].scores(predictions.labels)
    assert run.table["lddu"]["nll"] == {"mean": scores[0]["nll"], "std": 0.0, "n": 1}


def test_the_command_is_that_of_the_process_unless_given(make_run, monkeypatch):
    monkeypatch.setattr("sys.argv", ["experiments/demo.py", "--seed", "1"])
    given = {name: getattr(make_run(), name) for name in ("config", "predictions", "table")}
    run = type(make_run())("A run", **given, seconds=1.0)
    assert run.command == "python experiments/demo.py --seed 1"


def test_a_run_that_cannot_be_drawn_keeps_its_figures(make_run, tmp_path, monkeypatch):
    def fail(path, run):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(report, "write_report", fail)
    try:
        make_run().save(tmp_path)
    except ImportError:
        assert {file.name for file in tmp_path.iterdir()} == {"predictions.npz", "results.json"}
    else:
        raise AssertionError("the report should have failed")
