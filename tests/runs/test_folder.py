import numpy as np
import pytest

from lddu.runs import folder, pages, results
from lddu.runs.predictions import RunPredictions


def test_a_run_folder_holds_predictions_results_and_report(make_run, tmp_path):
    run = make_run()
    path = folder.write_run(tmp_path / "new", run)
    assert path == tmp_path / "new" / "report.html"
    names = {file.name for file in path.parent.iterdir()} - {"report-explorer.html"}
    assert names == {"predictions.npz", "results.json", "run.json", "weights.npy", "report.html"}
    assert "A run" in path.read_text(encoding="utf-8")
    stored = results.read_results(path.parent)
    assert stored["models"] == run.table
    assert (stored["command"], stored["seconds"]) == (run.command, run.seconds)
    loaded = RunPredictions.load(path.parent)
    assert loaded.main == run.predictions.main
    np.testing.assert_array_equal(loaded.labels, run.predictions.labels)


def test_a_run_that_cannot_be_drawn_keeps_its_figures(make_run, tmp_path, monkeypatch):
    def fail(path, run, explorer):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(pages, "write_report", fail)
    with pytest.raises(ImportError):
        folder.write_run(tmp_path, make_run())
    assert not (tmp_path / "report.html").exists()
    assert RunPredictions.load(tmp_path).main == "lddu"


def test_a_run_is_read_back_whole(make_run, tmp_path):
    run = make_run()
    folder.write_run(tmp_path, run)
    read = folder.read_run(tmp_path)
    for name in ("title", "config", "table", "seconds", "command", "bound", "metrics", "data_card"):
        assert getattr(read, name) == getattr(run, name)
    for name in ("notes", "published", "history"):
        assert tuple(getattr(read, name)) == tuple(getattr(run, name))
    np.testing.assert_allclose(read.weights, run.weights, rtol=1e-6)


@pytest.mark.parametrize("content", ["", "[]", '{"title": 3}', "{" * 2000, '{"title": "x"}'])
def test_a_damaged_run_is_named(make_run, tmp_path, content):
    folder.write_run(tmp_path, make_run())
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        folder.read_run(tmp_path)
