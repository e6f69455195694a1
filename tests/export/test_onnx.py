import dataclasses
import importlib.util
import json
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import cli, config
from lddu.calibration import Identity, Isotonic, Temperature
from lddu.data.batching import take
from lddu.data.normalize import Normalizer
from lddu.export import onnx, program, stablehlo
from lddu.structs import Batch, Modality


@pytest.fixture(scope="module")
def predictor(fitted_toy, toy_config):
    """`fitted_toy` with a name that is no identifier."""
    x, y = toy_config.model.modalities
    modalities = (dataclasses.replace(x, name="x-1"), y)
    renamed = config.replace(fitted_toy.config, {"model.modalities": modalities})
    params = {name.replace("_x", "_x-1"): value for name, value in fitted_toy.params.items()}
    normalizer = Normalizer(*({"x-1": part["x"], "y": part["y"]} for part in fitted_toy.normalizer))
    return dataclasses.replace(fitted_toy, config=renamed, params=params, normalizer=normalizer)


@pytest.fixture(scope="module")
def data(toy_inputs):
    """`toy_inputs` under the names of `predictor`."""
    x, y = toy_inputs.modalities.values()
    here = toy_inputs.present
    return Batch({"x-1": x, "y": y}, {"x-1": here["x"], "y": here["y"]})


@pytest.fixture(scope="module")
def path(predictor, tmp_path_factory):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    return onnx.export_onnx(predictor, tmp_path_factory.mktemp("onnx") / "new" / "m.onnx")


def session(path):
    ort = pytest.importorskip("onnxruntime")
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(opened, batch):
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, onnx.inputs(batch)), strict=True))


def cut(data, **steps):
    """The first steps of modalities."""
    lengths = {"x-1": steps.get("x", 5), "y": steps.get("y", 2)}
    modalities = {
        name: Modality(m.values[:, : lengths[name]], m.mask[:, : lengths[name]])
        for name, m in data.modalities.items()
    }
    return data.replace(modalities=modalities)


def test_it_says_what_the_predictor_says_for_any_rows_and_lengths(
    predictor, path, data, assert_promise
):
    opened = session(path)
    for batch in (data, cut(take(data, np.arange(7)), x=4, y=1), take(data, np.arange(1))):
        got = run(opened, batch)
        assert_promise(got, predictor, batch)
        assert all(x.dtype == np.float32 for name, x in got.items() if name != "decisions")
    # What is compared is calibrated, of members that differ, and decides both ways.
    assert isinstance(predictor.calibrator, Isotonic)
    got = run(opened, data)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic", *program.OPTIONAL}
    raw = predictor.predict(data, batch_size=40, calibrated=False)
    assert np.abs(raw.probs - got["probs"]).max() > 0.01
    assert got["epistemic"].max() > 1e-4
    assert 0 < got["decisions"].mean() < 1


def test_values_at_hidden_steps_do_not_matter(path, data):
    dirty = jax.tree.map(np.copy, data)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    opened = session(path)
    chex.assert_trees_all_equal(run(opened, dirty), run(opened, data))


def test_the_file_describes_itself(predictor, path):
    opened = session(path)
    assert {x.name: (x.type, x.shape) for x in opened.get_inputs()} == {
        "values/x-1": ("tensor(float)", ["batch", "time_0", 3]),
        "values/y": ("tensor(float)", ["batch", "time_1", 4]),
        "mask/x-1": ("tensor(bool)", ["batch", "time_0"]),
        "mask/y": ("tensor(bool)", ["batch", "time_1"]),
        "present/x-1": ("tensor(bool)", ["batch"]),
        "present/y": ("tensor(bool)", ["batch"]),
    }
    assert {x.name: x.shape for x in opened.get_outputs()}["weights"] == ["batch", 2, 2]
    info = json.loads(opened.get_modelmeta().custom_metadata_map["lddu"])
    assert info["labels"] == ["a", "b"]
    assert info["modalities"][0] == {"name": "x-1", "features": 3, "length": 5}
    np.testing.assert_array_equal(info["thresholds"], predictor.thresholds)
    # Nor does it name files of the machine that it was made on.
    assert b".py" not in path.read_bytes()


def test_the_conversion_leaves_no_trace_in_jax(predictor, path, data, tmp_path, assert_promise):
    # jax2onnx replaces functions of JAX and Flax while it works, and JAX remembers what it traced.
    model = stablehlo.load(stablehlo.export(predictor, tmp_path / "m", "cpu"))
    assert_promise(model(data), predictor, data)


@pytest.fixture(scope="module")
def gate(make_toy, toy_config, toy_inputs):
    """The gate of the paper's model, with a stride, a shared temperature and thresholds."""
    paper = config.paper(
        [config.ModalityConfig("x", 3, 5, 2), config.ModalityConfig("y", 4, 2)], ["a", "b"]
    )
    small = {
        "model.encoder.hidden": 4,
        "model.encoder.heads": 2,
        "model.encoder.layers": 1,
        "model.encoder.feed_forward": 4,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "model.head_hidden": 4,
        "train.members": 2,
    }
    made = make_toy(config.replace(paper, small))
    probs = made.predict(toy_inputs, batch_size=40).probs
    calibrator = Temperature(jnp.asarray(1.5), jnp.zeros(2))
    return dataclasses.replace(
        made, calibrator=calibrator, shared_threshold=probs.mean(dtype=float)
    )


def test_the_gate_of_the_paper_and_a_stride_too_by_the_command(
    gate, toy_inputs, tmp_path, capsys, assert_promise
):
    pytest.importorskip("jax2onnx")
    gate.save(tmp_path / "predictor")
    cli.main(["export", str(tmp_path), str(tmp_path / "m.onnx"), "--format", "onnx"])
    assert re.search(r"m\.onnx: \d\.\d MB for ONNX", capsys.readouterr().out)
    opened = session(tmp_path / "m.onnx")
    assert opened.get_inputs()[0].shape == ["batch", 5, 3]
    got = run(opened, toy_inputs)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic"}
    assert_promise(got, gate, toy_inputs)


def test_a_wrong_conversion_is_found(predictor, path):
    other = dataclasses.replace(predictor, calibrator=Identity())
    with pytest.raises(RuntimeError, match="jax2onnx converted the model wrongly"):
        onnx._compare(path.read_bytes(), other)
    onnx._compare(path.read_bytes(), predictor)


def test_it_refuses_what_it_cannot_do(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"jax2onnx and onnxruntime: pip install 'lddu\[onnx\]'"):
        onnx.export_onnx(None, tmp_path / "m")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    (tmp_path / "m").write_bytes(b"kept")
    with pytest.raises(FileExistsError, match="m exists; choose another path"):
        onnx.export_onnx(None, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == b"kept"
