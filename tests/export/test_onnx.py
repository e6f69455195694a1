import dataclasses
import importlib.util
import json
import re

import jax
import numpy as np
import pytest

import lddu
from lddu import cli, config
from lddu.calibration import Identity, Isotonic, Temperature
from lddu.data.batching import take
from lddu.data.normalize import fit_normalizer
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.export import onnx
from lddu.export import stablehlo as exporting
from lddu.model import LDDU
from lddu.predictor import Predictor
from lddu.structs import Modality

LAW = SyntheticConfig(
    labels=("a", "b"),
    features=(("x-1", 3), ("y", 4)),
    length=(("x-1", 5), ("y", 3)),
    missing=0.3,
)


@pytest.fixture(scope="module")
def data():
    """Ragged rows, some without a modality and the first without any."""
    batch = generate(40, seed=3, config=LAW).batch
    present = {name: here & (np.arange(40) > 0) for name, here in batch.present.items()}
    return batch.replace(present=present)


def make(data, preset, changes, strides=(1, 1)):
    """Two members with weights at random, calibrated on other rows than `data`."""
    shapes = {"x-1": (3, 5), "y": (4, 3)}
    modalities = [
        config.ModalityConfig(name, *shape, stride)
        for (name, shape), stride in zip(shapes.items(), strides, strict=True)
    ]
    small = {
        "model.encoder.hidden": 4,
        "model.encoder.heads": 2,
        "model.encoder.layers": 1,
        "model.encoder.feed_forward": 8,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "model.head_hidden": 4,
        "calibration.thresholds": "per_label",
    }
    cfg = config.replace(preset(modalities, LAW.labels), small | changes)
    model, rng = LDDU(cfg.model), np.random.default_rng(0)
    one = take(data, np.arange(1))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), one)["params"])
    params = jax.tree.map(lambda x: rng.normal(0, 0.7, (2, *x.shape)).astype(np.float32), shapes)
    half = np.full(2, 0.5)
    raw = Predictor(cfg, params, fit_normalizer(data), half, Identity(), np.asarray(0.5), half)
    fitted = lddu.calibrate(raw, generate(40, seed=4, config=LAW).batch)
    return dataclasses.replace(fitted, label_thresholds=fitted.predict(data).probs.mean(0) + 1e-4)


@pytest.fixture(scope="module")
def predictor(data):
    return make(data, config.tiny, {"calibration.method": "isotonic"})


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
    lengths = {"x-1": steps.get("x", 5), "y": steps.get("y", 3)}
    modalities = {
        name: Modality(m.values[:, : lengths[name]], m.mask[:, : lengths[name]])
        for name, m in data.modalities.items()
    }
    return data.replace(modalities=modalities)


def assert_same(got, predictor, batch):
    want = predictor.predict(batch)
    np.testing.assert_array_equal(got["decisions"], predictor.decide(want))
    assert got["decisions"].dtype == bool
    for name in set(got) - {"decisions"}:
        wanted = getattr(want, name)
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(got["probs"], want.probs, rtol=0, atol=1e-5)


def test_it_says_what_the_predictor_says_for_any_rows_and_lengths(predictor, path, data):
    opened = session(path)
    for batch in (data, cut(take(data, np.arange(7)), x=4, y=1), take(data, np.arange(1))):
        assert_same(run(opened, batch), predictor, batch)
    # What is compared is calibrated, of members that differ, and decides both ways.
    assert isinstance(predictor.calibrator, Isotonic)
    got = run(opened, data)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic", "logit_var", "weights"}
    assert np.abs(predictor.predict(data, calibrated=False).probs - got["probs"]).max() > 0.01
    assert got["epistemic"].max() > 1e-4
    assert 0 < got["decisions"].mean() < 1


def test_what_stands_at_hidden_steps_does_not_matter(path, data):
    dirty = jax.tree.map(np.copy, data)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    opened = session(path)
    jax.tree.map(np.testing.assert_array_equal, run(opened, dirty), run(opened, data))


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


def test_the_conversion_leaves_no_trace_in_jax(predictor, path, data, tmp_path):
    # jax2onnx replaces functions of JAX and Flax while it works, and JAX remembers what it traced.
    want = exporting.load(exporting.export(predictor, tmp_path / "m", "cpu"))(data)
    assert_same(want, predictor, data)


def test_the_gate_of_the_paper_and_a_stride_too_by_the_command(data, tmp_path, capsys):
    pytest.importorskip("jax2onnx")
    made = make(data, config.paper, {"calibration.method": "temperature"}, strides=(2, 1))
    assert isinstance(made.calibrator, Temperature)
    made.save(tmp_path / "predictor")
    cli.main(["export", str(tmp_path), str(tmp_path / "m.onnx"), "--format", "onnx"])
    assert re.search(r"m\.onnx: \d\.\d MB for ONNX", capsys.readouterr().out)
    opened = session(tmp_path / "m.onnx")
    assert opened.get_inputs()[0].shape == ["batch", 5, 3]
    for batch in (data, cut(take(data, np.arange(7)), y=2)):
        got = run(opened, batch)
        assert set(got) == {"probs", "decisions", "aleatoric", "epistemic"}
        assert_same(got, made, batch)


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
