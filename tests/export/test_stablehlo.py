import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lddu
from lddu import cli, config
from lddu.calibration import Identity, Isotonic
from lddu.data.batching import take
from lddu.data.normalize import fit_normalizer
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.export import reader as exported
from lddu.export import stablehlo as exporting
from lddu.model import LDDU
from lddu.predictor import Predictor
from lddu.structs import Modality

LAW = SyntheticConfig(
    # A name that is no identifier.
    labels=("a", "b"),
    features=(("x-1", 3), ("y", 4)),
    length=(("x-1", 5), ("y", 2)),
    missing=0.3,
)
CONFIG = config.replace(
    config.tiny({"x-1": (3, 5), "y": (4, 2)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        # None of it may be in what is exported.
        "model.encoder.dropout": 0.2,
        "model.encoder.attention_dropout": 0.2,
        "model.label_dropout": 0.2,
        "model.head_dropout": 0.2,
        "model.samples": 2,
        "train.members": 2,
        "calibration.method": "isotonic",
        "calibration.thresholds": "per_label",
    },
)


@pytest.fixture(scope="module")
def data():
    """Ragged rows, some without a modality and the first without any."""
    batch = generate(40, seed=3, config=LAW).batch
    present = {name: here & (np.arange(40) > 0) for name, here in batch.present.items()}
    assert len(np.unique(batch.modalities["x-1"].mask.sum(1))) > 2
    assert not all(here[1:].all() for here in present.values())
    return batch.replace(present=present)


def make(fusion, data):
    """Two members with weights at random, calibrated on other rows than `data`.

    On its own, each logit is a knot of the isotonic map, and rounding shows where that is steep.
    """
    cfg = config.replace(CONFIG, {"model.fusion": fusion, "loss.unimodal": 0.0})
    model, rng = LDDU(cfg.model), np.random.default_rng(0)
    one = take(data, np.arange(1))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), one)["params"])
    params = jax.tree.map(lambda x: rng.normal(0, 0.7, (2, *x.shape)).astype(np.float32), shapes)
    half = np.full(2, 0.5)
    normalizer = fit_normalizer(data)
    raw = Predictor(cfg, params, normalizer, half, Identity(), np.asarray(0.5), half)
    fitted = lddu.calibrate(raw, generate(40, seed=4, config=LAW).batch)
    # Such as decide some rows either way; no probability lies on them.
    return dataclasses.replace(fitted, label_thresholds=fitted.predict(data).probs.mean(0) + 1e-4)


@pytest.fixture(scope="module")
def predictor(data):
    return make("precision", data)


@pytest.fixture(scope="module")
def path(predictor, tmp_path_factory):
    return exporting.export(predictor, tmp_path_factory.mktemp("export") / "new" / "m.lddu")


@pytest.fixture(scope="module")
def model(path):
    return exporting.load(path)


def shorter(data):
    x = data.modalities["x-1"]
    cut = Modality(x.values[:, :4], x.mask[:, :4])
    return data.replace(modalities={**data.modalities, "x-1": cut})


def assert_same(got, predictor, batch):
    want = predictor.predict(batch)
    np.testing.assert_allclose(got["probs"], want.probs, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(got["decisions"], predictor.decide(want))
    assert got["decisions"].dtype == bool
    for name in set(got) - {"probs", "decisions"}:
        np.testing.assert_allclose(got[name], getattr(want, name), rtol=1e-4, atol=1e-6)


# ---- agreement ----------------------------------------------------------------------------------


def test_an_exported_model_says_what_the_predictor_says(predictor, model, data):
    got = model(data)
    names = {"probs", "decisions", "aleatoric", "epistemic", "logit_var", "weights"}
    assert set(got) == names
    assert_same(got, predictor, data)
    # What is compared is calibrated, decided by label, and of members that differ.
    assert isinstance(predictor.calibrator, Isotonic)
    assert np.abs(predictor.predict(data, calibrated=False).probs - got["probs"]).max() > 0.01
    assert np.ptp(predictor.thresholds) > 0
    assert got["epistemic"].max() > 1e-4
    assert 0 < got["decisions"].mean() < 1


def test_gate_fusion_too(data, tmp_path):
    predictor = make("gate", data)
    got = exporting.load(exporting.export(predictor, tmp_path / "gate", "cpu"))(data)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic"}
    assert_same(got, predictor, data)


def test_other_rows_and_lengths_need_no_new_export_and_compile_once_each(predictor, model, data):
    batch = shorter(data)
    compiled = model.call._cache_size()
    assert_same(model(batch, batch_size=16), predictor, batch)
    few = take(batch, np.arange(7))
    values = {name: m.values.astype(float) for name, m in few.modalities.items()}
    values["unknown"] = np.zeros(1)
    mask = {name: few.effective_mask(name) for name in few.modalities}
    assert_same(model(values, mask, batch_size=16), predictor, few)
    assert model.call._cache_size() == compiled + 1


def test_thresholds_decide_alike_where_float32_cannot_hold_them(predictor):
    exact = np.array([0.1, 0.7])
    assert (exact.astype(np.float32) >= exact).tolist() == [True, False]
    cuts = exporting._thresholds(dataclasses.replace(predictor, label_thresholds=exact))
    assert cuts.dtype == np.float32
    assert (cuts >= exact).all()
    assert (np.nextafter(cuts, np.float32(0)) < exact).all()


# ---- the file -----------------------------------------------------------------------------------


def test_the_description(model, predictor):
    assert model.labels == ("a", "b")
    assert model.modalities == {"x-1": (3, 5), "y": (4, 2)}
    assert model.platforms == ("cpu", "cuda", "tpu")
    np.testing.assert_array_equal(model.thresholds, predictor.thresholds)
    assert model.info["members"] == 2
    assert model.info["lddu"] == lddu.__version__
    assert model.info["jax"] == jax.__version__


def test_nothing_in_the_program_is_random_or_of_one_platform(path):
    with zipfile.ZipFile(path) as file:
        program = jax.export.deserialize(bytearray(file.read(exported.MODEL))).mlir_module()
    assert "dot_general" in program
    assert not re.findall(r"rng|threefry|random", program)
    # Nor does it name files of the machine that it was made on.
    assert b".py" not in path.read_bytes()
    assert jax.config.jax_traceback_in_locations_limit != 0
    # The one custom call checks the symbolic sizes, and JAX takes it out when it compiles.
    assert set(re.findall(r"custom_call @([\w.]+)", program)) == {"shape_assertion"}


def test_the_same_model_gives_the_same_file(predictor, path, tmp_path):
    again = exporting.export(predictor, tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


BLOCK = """
import sys
for name in ("lddu", "flax", "optax", "orbax", "chex", "einops", "tensorflow_datasets"):
    sys.modules[name] = None
"""
READER = """
import importlib.util
spec = importlib.util.spec_from_file_location("exported", {file!r})
exported = importlib.util.module_from_spec(spec)
spec.loader.exec_module(exported)
loaded = exported.load({path!r})
try:
    loaded({{}}, {{}})
except ValueError as error:
    print(loaded.labels, error)
"""


def test_the_readme_and_the_reader_work_without_this_library(predictor, path, data, tmp_path):
    with zipfile.ZipFile(path) as file:
        readme = file.read(exported.README).decode()
    recipe = readme[readme.index("import json") :]
    assert len(recipe.strip().splitlines()) <= 15
    code = BLOCK + recipe.replace("model.lddu", str(path))
    code += READER.format(file=exported.__file__, path=str(path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    probs, errors = done.stdout.strip().splitlines()
    assert errors == "('a', 'b') values lacks modalities ['x-1', 'y']; it has []. For samples " + (
        "without a modality give its arrays with an all-False mask"
    )
    zeros = {
        name: Modality(np.zeros((1, t, d), np.float32), np.ones((1, t), bool))
        for name, (d, t) in (("x-1", (3, 5)), ("y", (4, 2)))
    }
    batch = take(data, np.arange(1)).replace(
        modalities=zeros, present={name: np.ones(1, bool) for name in zeros}
    )
    want = dict(zip("ab", predictor.predict(batch).probs[0].tolist(), strict=True))
    assert json.loads(probs.replace("'", '"')) == pytest.approx(want, abs=1e-6)


# ---- the command --------------------------------------------------------------------------------


def test_the_command_exports_a_run_or_a_predictor(predictor, data, tmp_path, capsys):
    predictor.save(tmp_path / "run" / "predictor")
    for number, folder in enumerate(("run", "run/predictor")):
        out = tmp_path / f"{number}.lddu"
        cli.main(["export", str(tmp_path / folder), str(out), "--platforms", "cpu", "tpu"])
        assert re.search(r"\.lddu: \d\.\d MB for cpu, tpu", capsys.readouterr().out)
        assert exporting.load(out).platforms == ("cpu", "tpu")


# ---- errors -------------------------------------------------------------------------------------


def test_export_refuses_what_it_cannot_do(predictor, path, tmp_path, monkeypatch):
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"m\.lddu exists; choose another path"):
        exporting.export(predictor, path)
    assert path.read_bytes() == before
    for platforms in (("cpu", "gpu"), (), "metal"):
        with pytest.raises(ValueError, match="choose from cpu, cuda, rocm, tpu"):
            exporting.export(predictor, tmp_path / "m", platforms)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'lddu\[export\]'"):
        exporting.export(predictor, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_model_for_another_platform_says_so(predictor, data, tmp_path):
    model = exporting.load(exporting.export(predictor, tmp_path / "m", ["tpu"]))
    with pytest.raises(ValueError, match=r"exported for platforms .*tpu.* used on .*cpu"):
        model(data)


def rewritten(path, target, **changes):
    """A copy of an archive with some members replaced; None leaves one out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name.split(".")[1], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def test_damaged_files_are_errors(path, tmp_path):
    whole = path.read_bytes()
    at = whole.index(b"StableHLO")  # in the program
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:at] + b"#" + whole[at + 1 :]):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(ValueError, match="m is damaged or no exported model"):
            exporting.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"no exported model at .*absent"):
        exporting.load(tmp_path / "absent")
    for program in (b"", b"text" * 100):
        with pytest.raises(ValueError, match=r"model\.jax cannot be read"):
            exporting.load(rewritten(path, tmp_path / "m", jax=program))
    with pytest.raises(ValueError, match=r"damaged or no exported model.*model\.jax"):
        exporting.load(rewritten(path, tmp_path / "m", jax=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", "damaged or no exported model"),
        ("[]", r"model\.json: list indices"),
        ({"format": 2}, "format 2, this reader knows 1"),
        ({"labels": None}, r"model\.json: 'NoneType'"),
        ({"labels": ["a"]}, r"model\.json describes another model"),
        ({"modalities": [{"name": "y", "features": 4, "length": 2}]}, "describes another model"),
        ({"modalities": [{"name": "y"}]}, "lacks 'features'"),
        ({"thresholds": [0.5]}, r"\(1,\) thresholds, 2 labels"),
    ],
)
def test_descriptions_that_do_not_fit_are_errors(path, model, tmp_path, change, message):
    text = change if isinstance(change, str) else json.dumps({**model.info, **change})
    with pytest.raises(ValueError, match=message):
        exporting.load(rewritten(path, tmp_path / "m", json=text))


def arrays(**changes):
    """Inputs of two rows that fit, except for what is changed."""
    values = {"x-1": np.zeros((2, 5, 3)), "y": np.zeros((2, 2, 4))}
    mask = {name: np.ones(x.shape[:2], bool) for name, x in values.items()}
    present = {name: np.ones(2, bool) for name in values}
    given = {"values": values, "mask": mask, "present": present}
    return [given[what] | changes.get(what, {}) for what in given]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": {"y": np.zeros((2, 2, 3))}}, r"'y': values have shape \(2, 2, 3\), .*\(2, st"),
        ({"values": {"y": np.zeros((3, 2, 4))}}, r"'y': values have shape \(3, 2, 4\), .*\(2, st"),
        ({"values": {"y": np.zeros((2, 4))}}, r"'y': values have shape \(2, 4\)"),
        ({"values": {"y": np.zeros((2, 3, 4))}}, "'y': 3 steps, but the model takes 1 to 2"),
        ({"values": {"y": np.zeros((2, 0, 4))}}, "'y': 0 steps, .* is one masked step"),
        ({"values": {"x-1": np.zeros((0, 5, 3))}}, "no rows"),
        ({"values": {"y": np.full((2, 2, 4), "a")}}, "'y': values are no numbers"),
        ({"values": {"y": np.full((2, 2, 4), np.nan)}}, "'y': NaN or infinity at 4 real steps"),
        ({"values": {"y": np.full((2, 2, 4), 1e39)}}, "'y': NaN or infinity at 4 real steps"),
        ({"mask": {"y": np.ones((2, 2))}}, r"mask\['y'\] is float64 \(2, 2\), expected bool"),
        ({"mask": {"y": np.ones((2, 1), bool)}}, r"expected bool \(2, 2\)"),
        ({"present": {"y": np.ones(3, bool)}}, r"present\['y'\] is bool \(3,\), .* \(2,\)"),
    ],
)
def test_input_that_does_not_fit_is_an_error(model, changes, message):
    with pytest.raises(ValueError, match=message):
        model(*arrays(**changes))


def test_calls_that_do_not_fit_are_errors(model, data):
    values, mask, present = arrays()
    with pytest.raises(ValueError, match="mask is missing"):
        model(values)
    with pytest.raises(ValueError, match=r"present lacks modalities \['y'\]; it has \['x-1'\]"):
        model(values, mask, {"x-1": present["x-1"]})
    with pytest.raises(ValueError, match="a Batch holds its own mask"):
        model(data, mask)
    with pytest.raises(ValueError, match="batch_size=0 is not at least 1"):
        model(values, mask, batch_size=0)


def test_what_stands_at_hidden_steps_does_not_matter(model, data):
    dirty = jax.tree.map(np.copy, data)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    got, want = model(jax.tree.map(jnp.asarray, dirty)), model(data)
    jax.tree.map(np.testing.assert_array_equal, got, want)
