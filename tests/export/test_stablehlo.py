import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
import zipfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import cli, config
from lddu.calibration import Isotonic
from lddu.data.batching import take
from lddu.export import reader, stablehlo
from lddu.export.program import OPTIONAL, describe
from lddu.structs import Batch, Modality


@pytest.fixture(scope="module")
def path(fitted_toy, tmp_path_factory):
    return stablehlo.export(fitted_toy, tmp_path_factory.mktemp("export") / "new" / "m.lddu")


@pytest.fixture(scope="module")
def model(path):
    return stablehlo.load(path)


def shorter(batch):
    x = batch.modalities["x"]
    cut = Modality(x.values[:, :4], x.mask[:, :4])
    return batch.replace(modalities={**batch.modalities, "x": cut})


# ---- agreement ----------------------------------------------------------------------------------


def test_an_exported_model_says_what_the_predictor_says(
    fitted_toy, model, toy_inputs, assert_promise
):
    got = model(toy_inputs)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic", *OPTIONAL}
    assert_promise(got, fitted_toy, toy_inputs)
    # What is compared is calibrated, decided by label, and of members that differ.
    assert isinstance(fitted_toy.calibrator, Isotonic)
    raw = fitted_toy.predict(toy_inputs, batch_size=40, calibrated=False)
    assert np.abs(raw.probs - got["probs"]).max() > 0.01
    assert np.ptp(fitted_toy.thresholds) > 0
    assert got["epistemic"].max() > 1e-4
    assert 0 < got["decisions"].mean() < 1


@pytest.fixture(scope="module")
def gate(make_toy, toy_config):
    changes = {"model.fusion": "gate", "model.head_hidden": 4, "model.head_dropout": 0.2}
    return make_toy(config.replace(toy_config, changes | {"loss.unimodal": 0.0}))


def test_gate_fusion_and_steps_at_its_own_logits(
    gate, toy_inputs, tmp_path, staircase, assert_promise
):
    logits = np.asarray(gate.predict(toy_inputs, batch_size=40).logits)
    steep = dataclasses.replace(gate, calibrator=staircase(logits, 100.0, 1))
    got = stablehlo.load(stablehlo.export(steep, tmp_path / "gate", "cpu"))(toy_inputs)
    assert set(got) == {"probs", "decisions", "aleatoric", "epistemic"}
    assert_promise(got, steep, toy_inputs)


def test_other_rows_and_lengths_need_no_new_export_and_compile_once_each(
    fitted_toy, model, toy_inputs, assert_promise
):
    batch = shorter(toy_inputs)
    compiled = model.call._cache_size()
    assert_promise(model(batch, batch_size=16), fitted_toy, batch)
    few = take(batch, np.arange(7))
    values = {name: m.values.astype(float) for name, m in few.modalities.items()}
    values["unknown"] = np.zeros(1)
    mask = {name: few.effective_mask(name) for name in few.modalities}
    assert_promise(model(values, mask, batch_size=16), fitted_toy, few)
    assert model.call._cache_size() == compiled + 1


# ---- the file -----------------------------------------------------------------------------------


def test_the_description(model, fitted_toy):
    assert model.labels == ("a", "b")
    assert model.modalities == {"x": (3, 5), "y": (4, 2)}
    assert model.platforms == ("cpu", "cuda", "tpu")
    np.testing.assert_array_equal(model.thresholds, fitted_toy.thresholds)
    described = {"format": reader.FORMAT, **describe(fitted_toy, model.platforms)}
    assert {**model.info, "sha256": ""} == {**described, "sha256": ""}


def test_names_need_not_be_identifiers(make_toy, toy_config, toy_inputs, tmp_path):
    modalities = (config.ModalityConfig("x-1", 3, 5),)
    changed = config.replace(toy_config, {"model.modalities": modalities, "train.members": 1})
    x = toy_inputs.modalities["x"]
    batch = Batch({"x-1": x}, {"x-1": toy_inputs.present["x"]})
    named = make_toy(changed, batch)
    model = stablehlo.load(stablehlo.export(named, tmp_path / "m", "cpu"))
    assert model.modalities == {"x-1": (3, 5)}
    want = named.predict(batch, batch_size=40)
    np.testing.assert_allclose(model(batch)["probs"], want.probs, rtol=1e-4, atol=1e-5)


def test_nothing_in_the_program_is_random_or_of_one_platform(path):
    with zipfile.ZipFile(path) as file:
        program = jax.export.deserialize(bytearray(file.read(reader.MODEL))).mlir_module()
    assert "dot_general" in program
    assert not re.findall(r"rng|threefry|random", program)
    # Nor does it name files of the machine that it was made on.
    assert b".py" not in path.read_bytes()
    assert jax.config.jax_traceback_in_locations_limit != 0
    # The one custom call checks the symbolic sizes, and JAX takes it out when it compiles.
    assert set(re.findall(r"custom_call @([\w.]+)", program)) == {"shape_assertion"}


def test_the_same_model_gives_the_same_file(fitted_toy, path, tmp_path):
    again = stablehlo.export(fitted_toy, tmp_path / "again")
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


def test_the_readme_and_the_reader_work_without_this_library(
    fitted_toy, path, toy_inputs, tmp_path
):
    with zipfile.ZipFile(path) as file:
        readme = file.read(reader.README).decode()
    recipe = readme[readme.index("import json") :]
    assert len(recipe.strip().splitlines()) <= 15
    code = BLOCK + recipe.replace("model.lddu", str(path))
    code += READER.format(file=reader.__file__, path=str(path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    probs, errors = done.stdout.strip().splitlines()
    assert errors == "('a', 'b') values lacks modalities ['x', 'y']; it has []. For samples " + (
        "without a modality give its arrays with an all-False mask"
    )
    zeros = {
        name: Modality(np.zeros((1, t, d), np.float32), np.ones((1, t), bool))
        for name, (d, t) in (("x", (3, 5)), ("y", (4, 2)))
    }
    batch = take(toy_inputs, np.arange(1)).replace(
        modalities=zeros, present={name: np.ones(1, bool) for name in zeros}
    )
    want = dict(zip("ab", fitted_toy.predict(batch, batch_size=40).probs[0].tolist(), strict=True))
    assert json.loads(probs.replace("'", '"')) == pytest.approx(want, abs=1e-3)


# ---- the command --------------------------------------------------------------------------------


def test_the_command_exports_a_run_or_a_predictor(fitted_toy, toy_inputs, tmp_path, capsys):
    fitted_toy.save(tmp_path / "run" / "predictor")
    for number, folder in enumerate(("run", "run/predictor")):
        out = tmp_path / f"{number}.lddu"
        cli.main(["export", str(tmp_path / folder), str(out), "--platforms", "cpu", "tpu"])
        assert re.search(r"\.lddu: \d\.\d MB for cpu, tpu", capsys.readouterr().out)
        assert stablehlo.load(out).platforms == ("cpu", "tpu")


# ---- errors -------------------------------------------------------------------------------------


def test_export_refuses_what_it_cannot_do(fitted_toy, path, tmp_path, monkeypatch):
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"m\.lddu exists; choose another path"):
        stablehlo.export(fitted_toy, path)
    assert path.read_bytes() == before
    for platforms in (("cpu", "gpu"), (), "metal"):
        with pytest.raises(ValueError, match="choose from cpu, cuda, rocm, tpu"):
            stablehlo.export(fitted_toy, tmp_path / "m", platforms)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'lddu\[export\]'"):
        stablehlo.export(fitted_toy, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_model_for_another_platform_says_so(fitted_toy, toy_inputs, tmp_path):
    model = stablehlo.load(stablehlo.export(fitted_toy, tmp_path / "m", ["tpu"]))
    with pytest.raises(ValueError, match=r"exported for platforms .*tpu.* used on .*cpu"):
        model(toy_inputs)


def test_what_stands_at_hidden_steps_does_not_matter(model, toy_inputs):
    dirty = jax.tree.map(np.copy, toy_inputs)
    for name, modality in dirty.modalities.items():
        modality.values[~dirty.effective_mask(name)] = np.nan
    got, want = model(jax.tree.map(jnp.asarray, dirty)), model(toy_inputs)
    chex.assert_trees_all_equal(got, want)
