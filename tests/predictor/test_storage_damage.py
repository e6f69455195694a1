"""Damaged predictors: every part that is broken or does not fit is a clear ValueError."""

import io
import json
import shutil

import chex
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu import config
from lddu.predictor import Predictor


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    return small.save(tmp_path_factory.mktemp("saved") / "predictor")


@pytest.fixture
def copied(saved, tmp_path):
    """A copy of the saved predictor that a test may damage."""
    return shutil.copytree(saved, tmp_path / "predictor")


def changed(folder, **values):
    """Replaces entries of predictor.json; None removes one."""
    path = folder / "predictor.json"
    text = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in text.items() if v is not ...}))


def load_error(folder, match):
    with pytest.raises(ValueError, match=match):
        Predictor.load(folder)


@pytest.mark.parametrize("content", [b'{"format": 1, "mem', b"", b"[]", b"\xff\xfe"])
def test_damaged_json(copied, content):
    (copied / "predictor.json").write_bytes(content)
    load_error(copied, r"predictor\.json is damaged")


@pytest.mark.parametrize("format", [99, 0, "1", None])
def test_another_format(copied, format):
    changed(copied, format=format)
    load_error(copied, f"format {format!r}, expected 1")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("members", ..., "lacks 'members'"),
        ("members", 2.5, "members is 2.5, expected an integer"),
        ("members", 2, r"is float32 \(3, .* needs float32 \(2, "),
        ("history", ..., "lacks 'history'"),
        ("mean", {"x": [0, 0, 0]}, r"mean is of the modalities \['x'\]"),
        ("std", {"x": [1, 1, 1], "y": [1, 1]}, r"std of 'y' has shape \(2,\), expected \(4,\)"),
        ("std", {"x": [1, 1, 1], "y": "much"}, "std.y is 'much', expected a number"),
        ("base_rate", [0.5], r"base_rate has shape \(1,\), expected \(2,\)"),
        ("shared_threshold", [0.5], r"shared_threshold is \[0\.5\], expected a number"),
        ("label_thresholds", [0.5] * 3, r"label_thresholds has shape \(3,\), expected \(2,\)"),
    ],
)
def test_an_entry_that_is_missing_or_does_not_fit(copied, entry, value, message):
    changed(copied, **{entry: value})
    load_error(copied, message)


@pytest.mark.parametrize(
    ("calibrator", "message"),
    [
        (
            {"type": "Magic", "state": {}},
            "type is 'Magic', expected one of Identity, T",
        ),
        ({"type": "Platt", "state": {"slope": [1, 1]}}, r"holds \['slope'\]; a Platt has \['bias'"),
        ({"type": "Platt", "state": {"slope": [1], "bias": [0]}}, r"shape \(1,\), but .* 2 labels"),
        (
            {"type": "Platt", "state": {"slope": [1, 1], "bias": [0, np.nan]}},
            "bias\\[1\\] is nan, expected a finite number",
        ),
        ({"type": "Isotonic", "state": {"knots": [0, 1], "values": [0, 1]}}, "calibrator.state "),
        ({"type": "Platt", "state": {"slope": ["a", "b"], "bias": [0, 0]}}, r"slope\[0\] is 'a'"),
        ({"type": "Platt"}, "lacks 'state'"),
        ({"type": ["Platt"], "state": {}}, r"calibrator\.type is \['Platt'\], expected text"),
        (None, "calibrator is null, expected an object"),
        (..., "lacks 'calibrator'"),
    ],
)
def test_a_calibrator_that_does_not_fit(copied, calibrator, message):
    changed(copied, calibrator=calibrator)
    load_error(copied, message)


# ---- parameters ---------------------------------------------------------------------------------

DAMAGED = r"params\.npz is damaged"


def rewritten(folder, change):
    """Writes params.npz anew, with its arrays changed."""
    with np.load(folder / "params.npz") as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(folder / "params.npz", **arrays)


@pytest.mark.parametrize("name", ["params.npz", "config.json", "predictor.json"])
def test_a_folder_that_lacks_a_file_is_no_predictor(copied, name):
    (copied / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"holds no saved predictor .no {name}"):
        Predictor.load(copied)
    (copied / name).mkdir()
    with pytest.raises(FileNotFoundError, match=f"holds no saved predictor .no {name}"):
        Predictor.load(copied)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_parameters(copied, kept):
    path = copied / "params.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    load_error(copied, DAMAGED)


@pytest.mark.parametrize("content", [b"text", b"\x93NUMPY", b"PK\x03\x04"])
def test_parameters_of_another_kind(copied, content):
    (copied / "params.npz").write_bytes(content)
    load_error(copied, DAMAGED)


def test_a_single_array_is_no_archive(copied):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    (copied / "params.npz").write_bytes(buffer.getvalue())
    load_error(copied, DAMAGED)


def test_pickled_objects_are_never_read(copied):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was read",))

    def change(arrays):
        arrays["label_embeddings"] = np.array([Trap()], object)

    rewritten(copied, change)
    load_error(copied, DAMAGED + ".*it is object")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.pop("label_embeddings"),
            "label_embeddings is missing, but config.json",
        ),
        (
            lambda a: a.update(label_embeddings=a["label_embeddings"][:, :1]),
            r"label_embeddings is float32 \(3, 1, 4\), but config.json needs float32 \(3, 2, 4\)",
        ),
        (
            lambda a: a.update(label_embeddings=a["label_embeddings"].astype(float)),
            "label_embeddings is float64",
        ),
        (lambda a: a.update(more=np.zeros(3)), "config.json has no more"),
    ],
)
def test_arrays_that_do_not_fit(copied, change, message):
    rewritten(copied, change)
    load_error(copied, DAMAGED + ".*" + message)


@pytest.mark.parametrize("changes", [{"model.latent": 3}, {"model.encoder.layers": 0}])
def test_a_configuration_that_does_not_fit(small, copied, changes):
    other = config.replace(small.config, changes)
    (copied / "config.json").write_text(other.to_json())
    load_error(copied, DAMAGED + r".*config\.json")


@given(st.data())
@settings(max_examples=30)
def test_a_flipped_byte_is_found_or_changes_nothing(small, saved, tmp_path_factory, data):
    whole = (saved / "params.npz").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bits = data.draw(st.integers(1, 255))
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("flipped") / "predictor")
    flipped = whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :]
    (folder / "params.npz").write_bytes(flipped)
    try:
        params = Predictor.load(folder).params
    except ValueError:
        return
    # It is in the date of an entry, or in a field that nobody reads.
    chex.assert_trees_all_equal(params, small.params)
