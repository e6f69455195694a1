"""Reading an exported model: damaged files, and input that does not fit."""

import hashlib
import json
import zipfile

import numpy as np
import pytest

from lddu.export import reader, stablehlo


@pytest.fixture(scope="module")
def path(toy, tmp_path_factory):
    return stablehlo.export(toy, tmp_path_factory.mktemp("export") / "m.lddu", "cpu")


@pytest.fixture(scope="module")
def model(path):
    return reader.load(path)


def rewritten(path, target, **changes):
    """A copy of an archive with some members replaced; None leaves one out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name.split(".")[1], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def test_damaged_files_are_errors(path, model, tmp_path):
    whole = path.read_bytes()
    at = whole.index(b"StableHLO")  # in the program
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:at] + b"#" + whole[at + 1 :]):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(ValueError, match="m is damaged or no exported model"):
            reader.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError, match=r"no exported model at .*absent"):
        reader.load(tmp_path / "absent")
    for program in (b"", b"text" * 100):
        with pytest.raises(ValueError, match=r"sha256 is not that of model\.jax"):
            reader.load(rewritten(path, tmp_path / "m", jax=program))
        sha256 = hashlib.sha256(program).hexdigest()
        described = json.dumps({**model.info, "sha256": sha256})
        with pytest.raises(ValueError, match=r"model\.jax cannot be read"):
            reader.load(rewritten(path, tmp_path / "m", jax=program, json=described))
    with pytest.raises(ValueError, match=r"damaged or no exported model.*model\.jax"):
        reader.load(rewritten(path, tmp_path / "m", jax=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{", r"model\.json is damaged: Expecting"),
        ("[]", "it holds no JSON object"),
        ({"format": 2}, "format is 2, expected 1, which this reader knows"),
        ({"labels": None}, "labels is None, expected a list of texts"),
        ({"labels": ["a"], "thresholds": [0.5]}, r"model\.json describes another model"),
        ({"modalities": [{"name": "y", "features": 4, "length": 2}]}, "describes another model"),
        ({"modalities": [{"name": "y"}]}, "features is missing, expected a positive integer"),
        ({"thresholds": [0.5]}, "expected 2 finite numbers, one per label"),
    ],
)
def test_descriptions_that_do_not_fit_are_errors(path, model, tmp_path, change, message):
    text = change if isinstance(change, str) else json.dumps({**model.info, **change})
    with pytest.raises(ValueError, match=message):
        reader.load(rewritten(path, tmp_path / "m", json=text))


def arrays(**changes):
    """Inputs of two rows that fit, except for what is changed."""
    values = {"x": np.zeros((2, 5, 3)), "y": np.zeros((2, 2, 4))}
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
        ({"values": {"x": np.zeros((0, 5, 3))}}, "no rows"),
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


def test_calls_that_do_not_fit_are_errors(model, toy_inputs):
    values, mask, present = arrays()
    with pytest.raises(ValueError, match="mask is missing"):
        model(values)
    with pytest.raises(ValueError, match=r"present lacks modalities \['y'\]; it has \['x'\]"):
        model(values, mask, {"x": present["x"]})
    with pytest.raises(ValueError, match="a Batch holds its own mask"):
        model(toy_inputs, mask)
    with pytest.raises(ValueError, match="batch_size=0 is not at least 1"):
        model(values, mask, batch_size=0)
