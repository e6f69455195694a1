import pytest

from lddu import cli


def test_tables_are_printed(run, capsys):
    cli.main(["compare", run, f"{run}:forest", "--resamples", "5", "--level", "0.8"])
    text = capsys.readouterr().out
    assert "80% interval" in text
    assert f"{run}:forest minus {run}:lddu" in text
    assert "| model" not in text


def test_tables_are_markdown_if_asked(run, capsys):
    cli.main(["compare", run, run, "--resamples", "5", "--markdown"])
    assert "| model" in capsys.readouterr().out


def test_a_folder_without_predictions_is_a_mistake(run, tmp_path):
    with pytest.raises(SystemExit, match=r"lddu: there is no .*predictions\.npz"):
        cli.main(["compare", run, str(tmp_path / "elsewhere")])
