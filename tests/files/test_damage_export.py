"""Exported models, checkpoints and prepared data, damaged in every part."""

import hashlib
import json
import shutil
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from lddu.data.cache import cached
from lddu.data.card import Card
from lddu.data.dataset import SPLITS, Dataset, Split
from lddu.export import reader, stablehlo
from lddu.structs import Batch, Modality
from lddu.training.checkpoint import RunFolder


@pytest.fixture(scope="module")
def exported(toy, tmp_path_factory):
    return stablehlo.export(toy, tmp_path_factory.mktemp("export") / "m.lddu", "cpu")


def test_exported_model(exported, tmp_path, read_damaged):
    path = tmp_path / "m.lddu"
    shutil.copy(exported, path)
    read_damaged(lambda: reader.load(path), path, 12)


def test_description_of_an_exported_model(exported, tmp_path, read_damaged):
    target, path = tmp_path / "m.lddu", tmp_path / "model.json"
    with zipfile.ZipFile(exported) as file:
        path.write_bytes(file.read("model.json"))
        program = file.read("model.jax")

    def read():
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("model.json", path.read_bytes())
            file.writestr("model.jax", program)
        return reader.load(target)

    # Any JSON may be in the fields that only inform.
    read_damaged(read, path, 250, ["m.lddu"])


def test_an_exported_model_that_claims_more_than_it_holds(exported, tmp_path):
    path = tmp_path / "m.lddu"
    with zipfile.ZipFile(exported) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    contents["model.jax"] = bytes(1 << 22)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match=f"model.jax claims {1 << 22} bytes"):
        reader.load(path)


def test_any_program_that_is_none(exported, tmp_path):
    path = tmp_path / "m.lddu"
    with zipfile.ZipFile(exported) as file:
        info, program = json.loads(file.read("model.json")), file.read("model.jax")
    for model in (b"", b"x" * 1000, program[:100], program[: len(program) // 2], bytes(1000)):
        info["sha256"] = hashlib.sha256(model).hexdigest()
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model.json", json.dumps(info))
            file.writestr("model.jax", model)
        with pytest.raises(ValueError, match=r"m\.lddu: model\.jax cannot be read"):
            reader.load(path)


STATE, BEST = {"a": jnp.arange(3.0)}, {"w": jnp.ones(2)}
RECORD = {"member": 0, "epoch": 1, "best": True, "valid_nll": 0.5, "valid_micro_f1": 0.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.save([RECORD], STATE, BEST)
    folder.close()
    return folder.path


@pytest.fixture
def checkpoint(run, tmp_path):
    """The folder, and a function that reads all of it."""
    path = shutil.copytree(run, tmp_path / "run")

    def read():
        folder = RunFolder(path)
        try:
            records = folder.records()
            if records:
                folder.load(1, 1, STATE, BEST)
            return records
        finally:
            folder.close()

    return path, read


def test_checksums(checkpoint, read_damaged):
    path, read = checkpoint
    values = {"null": "null", "text": '"x"', "list": "[]", "object": "{}", "zero": "0"}
    read_damaged(read, path / "checksums.json", 60, ["run"], values)


def test_every_file_of_a_checkpoint(checkpoint, caplog):
    path, read = checkpoint
    assert read() == [RECORD]
    for name in ("state", "best"):
        for file in sorted(file for file in (path / name).rglob("*") if file.is_file()):
            whole = file.read_bytes()
            for content in (b"", whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], None):
                file.unlink() if content is None else file.write_bytes(content)
                with pytest.raises(ValueError, match=f"{file.name} (has changed|is missing)"):
                    read()
            file.write_bytes(whole)
    (path / "state" / "1" / "more").touch()
    with pytest.raises(ValueError, match="more is new"):
        read()
    assert not caplog.records


@pytest.mark.parametrize(
    ("state", "best"),
    [
        ({"a": jnp.zeros(4)}, BEST),
        ({"a": jnp.zeros((3, 1))}, BEST),
        ({"a": jnp.zeros(3, int)}, BEST),
        ({"a": jnp.zeros(3), "b": jnp.zeros(1)}, BEST),
        (STATE, {"v": jnp.zeros(2)}),
        (STATE, {"w": jnp.zeros(3)}),
    ],
)
def test_a_checkpoint_of_other_arrays(checkpoint, state, best):
    folder = RunFolder(checkpoint[0])
    with pytest.raises(ValueError, match=r"run cannot be continued: .*(expected|more arrays)"):
        folder.load(1, 1, state, best)
    with pytest.raises(ValueError, match=r"run has no checkpoint state.2"):
        folder.load(2, 1, STATE, BEST)
    folder.close()


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b"\xff",
        b"[" * 10_000,
        json.dumps({**RECORD, "epoch": "1"}).encode(),
        json.dumps({**RECORD, "epoch": 2}).encode(),
        json.dumps({**RECORD, "epoch": 1.5}).encode(),
        json.dumps({**RECORD, "best": False}).encode(),
        json.dumps({**RECORD, "valid_nll": None}).encode(),
        json.dumps({**RECORD, "valid_nll": float("nan")}).encode(),
        json.dumps({"member": 0, "epoch": 1}).encode(),
    ],
)
def test_metrics_that_are_no_records_do_not_count(checkpoint, line):
    path, read = checkpoint
    (path / "metrics.jsonl").write_bytes(line + b"\n" + json.dumps(RECORD).encode())
    assert read() == []
    again = json.dumps(RECORD).encode()
    (path / "metrics.jsonl").write_bytes(again + b"\n" + again)
    assert read() == [RECORD]


def dataset():
    mask = np.array([[1, 1], [1, 0], [0, 0]], bool)
    batch = Batch({"x": Modality(np.ones((3, 2, 4), np.float32), mask)}, {"x": mask.any(1)})
    split = Split(
        batch.replace(labels=np.eye(3, dtype=np.float32)), np.array(["u", "v", "w"]), None
    )
    card = Card("x", "y", "z", (), {}, {"mended": 3}, ("w",))
    return Dataset(*[split] * 3, labels=("a", "b", "c"), card=card)


def test_prepared_data_are_built_anew(tmp_path, read_damaged):
    built = []

    def build(allocate):
        built.append(1)
        return dataset()

    def read():
        got = cached({"k": 1}, build, tmp_path)
        for name, split in got.splits().items():
            want = dataset().splits()[name].batch.modalities["x"]
            np.testing.assert_array_equal(split.batch.modalities["x"].values, want.values)
            np.testing.assert_array_equal(split.batch.modalities["x"].mask, want.mask)

    read()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("dataset.json", "train.x.values.npy", "valid.labels.npy", "test.ids.npy"):
        # Whatever the damage, the data set comes back and the file is whole again.
        read_damaged(read, folder / name, 0)
    assert len(built) > 150
    assert set(SPLITS) == {"train", "valid", "test"}
    shutil.rmtree(folder)
    folder.write_text("a file in place of the folder")
    read()
