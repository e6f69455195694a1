import numpy as np
import pytest

from lddu.runs import folder, results
from lddu.runs.predictions import RunPredictions


def test_a_run_folder_holds_predictions_results_and_report(make_run, tmp_path):
    run = make_run()
    path = folder.write_run(tmp_path / "new", run)
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


def test_a_run_that_cannot_be_drawn_keeps_its_figures(make_run, tmp_path, monkeypatch):
    def fail(path, run):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(folder, "write_report", fail)
    with pytest.raises(ImportError):
        folder.write_run(tmp_path, make_run())
    assert {file.name for file in tmp_path.iterdir()} == {"predictions.npz", "results.json"}
