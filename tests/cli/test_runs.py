"""`lddu report` and `lddu convert`."""

import jax
import numpy as np
import pytest

from lddu import cli, config
from lddu.model import LDDU, example_batch
from lddu.official import weights
from lddu.predictor import Predictor
from lddu.runs import pages
from lddu.runs.explorer import page

SIZES = ("encoder.hidden=8", "encoder.heads=2", "encoder.layers=1", "encoder.feed_forward=8")
SIZES = tuple(f"model.{size}" for size in (*SIZES, "latent=4", "latent_hidden=[6,4,4]"))


def test_the_explorer_is_written_on_demand(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "write_report", lambda path, run, explorer: None)
    monkeypatch.setattr(pages, "SMALL", 0)
    monkeypatch.setattr(page, "library", lambda: "")
    report, explorer = tmp_path / "again.html", tmp_path / "again-explorer.html"
    cli.main(["report", str(trained / "runs" / "mine"), "--out", str(report)])
    assert capsys.readouterr().out.split() == [str(report)]
    cli.main(["report", str(trained / "runs" / "mine"), "--explore", "--out", str(report)])
    assert capsys.readouterr().out.split() == [str(report), str(explorer)]
    assert "test 39" in explorer.read_text()


def test_a_folder_without_a_run_is_a_mistake(tmp_path):
    with pytest.raises(SystemExit, match=r"there is no .*predictions"):
        cli.main(["report", str(tmp_path)])


def test_official_weights_become_a_predictor_and_weights_again(
    example, torch_writer, tmp_path, monkeypatch, capsys
):
    given = example("convert")
    source, folder, labels = given[1], given[2], given[given.index("--labels") + 1 :]
    shapes = {"audio": (3, 4), "text": (5, 6)}
    cfg = config.replace(config.paper(shapes, labels), config.parse_all(SIZES))
    tree = jax.eval_shape(LDDU(cfg.model).init, jax.random.key(0), example_batch(cfg.model))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), tree["params"])
    state = weights.to_official(params, cfg)
    monkeypatch.chdir(tmp_path)
    arrays = enumerate(state.items())
    tensors = {name: torch_writer.whole_tensor(x, str(i)) for i, (name, x) in arrays}
    (tmp_path / source).write_bytes(torch_writer.zip_file(tensors))
    cli.main([*given, "--modalities", "audio:3:4", "text:5:6", "--set", *SIZES])
    assert "6 labels from audio, text" in capsys.readouterr().out
    loaded = Predictor.load(folder)
    assert loaded.config == cfg
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[0], y), loaded.params, params)
    cli.main(["convert", folder, "again.npz"])
    with np.load(tmp_path / "again.npz") as file:
        assert set(file) == set(state)
        for name, array in state.items():
            np.testing.assert_array_equal(file[name], array)


def test_mistakes_in_a_conversion_are_named(tmp_path):
    np.savez(tmp_path / "w.npz", x=np.zeros(2))
    source, out = str(tmp_path / "w.npz"), str(tmp_path / "model")
    with pytest.raises(SystemExit, match="name the labels"):
        cli.main(["convert", source, out])
    with pytest.raises(SystemExit, match="name:features:length"):
        cli.main(["convert", source, out, "--labels", "a", "--modalities", "text:300"])
    with pytest.raises(SystemExit, match="do not fit the configuration"):
        cli.main(["convert", source, out, "--labels", "a", "--modalities", "text:3:4"])
