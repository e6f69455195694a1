import pytest

from lddu import cli
from lddu.export import onnx, stablehlo
from lddu.predictor import Predictor


@pytest.fixture
def exported(monkeypatch):
    """What is loaded and how it is exported, in place of doing so."""
    calls = []

    def write(name):
        def export(predictor, out, *options):
            calls.append((name, predictor, *options))
            out.write_bytes(bytes(2_000_000))
            return out

        return export

    monkeypatch.setattr(Predictor, "load", lambda folder: folder)
    monkeypatch.setattr(stablehlo, "export", write("stablehlo"))
    monkeypatch.setattr(onnx, "export_onnx", write("onnx"))
    return calls


def test_the_predictor_of_a_run_folder_or_a_saved_one_is_exported(exported, tmp_path, capsys):
    saved = tmp_path / "run" / "predictor"
    saved.mkdir(parents=True)
    (saved / "predictor.json").touch()
    for folder in (saved.parent, saved):
        cli.main(["export", str(folder), str(tmp_path / "out"), "--platforms", "cpu", "tpu"])
        assert exported.pop() == ("stablehlo", saved, ("cpu", "tpu"))
        assert capsys.readouterr().out == f"{tmp_path / 'out'}: 2.0 MB for cpu, tpu\n"


def test_onnx_is_written_if_asked(exported, tmp_path, capsys):
    cli.main(["export", str(tmp_path), str(tmp_path / "out"), "--format", "onnx"])
    assert exported == [("onnx", tmp_path)]
    assert "MB for ONNX" in capsys.readouterr().out


def test_a_folder_without_a_predictor_is_a_mistake(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SystemExit, match=r"lddu: .* holds no saved predictor"):
            cli.main(["export", str(folder), str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())
