"""Runs that were killed: continued to the same result, also under other execution settings."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_killed_run_continues_to_the_same_result(case, same, tmp_path, epoch):
    with pytest.raises(KeyboardInterrupt):
        case.killed(epoch).run(case.members, tmp_path, progress=False)
    same(case.trainer.run(case.members, tmp_path, progress=False), case.trained)
    # What was loaded needs no other programs.
    assert case.trainer.programs.step.jitted._cache_size() == 1
    assert case.trainer.programs.keep._cache_size() == 1
    lines, want = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path, case.folder)
    )
    assert [{**line, "seconds": 0} for line in lines] == [{**line, "seconds": 0} for line in want]


def test_a_run_killed_twice_continues_to_the_same_result(alone, same, tmp_path):
    for trainer in (alone.killed(2), alone.killed(1)):
        with pytest.raises(KeyboardInterrupt):
            trainer.run(folder=tmp_path, progress=False)
    same(alone.trainer.run(folder=tmp_path, progress=False), alone.trained)


def test_a_run_killed_between_its_files_continues_to_the_same_result(
    case, same, monkeypatch, tmp_path
):
    replace, calls = Path.replace, []

    def killed(path, target):
        if Path(target).name == "metrics.jsonl":
            calls.append(path)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            case.trainer.run(case.members, tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == len(case.members)
    same(case.trainer.run(case.members, tmp_path, progress=False), case.trained)


def test_a_torn_line_costs_one_epoch(case, same, tmp_path):
    shutil.copytree(case.folder, tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    trainer, epochs = case.killed(epoch=9), []
    evaluate = trainer._evaluate
    trainer._evaluate = lambda params: epochs.append(1) or evaluate(params)
    same(trainer.run(case.members, tmp_path / "run", progress=False), case.trained)
    assert len(epochs) == 1


def test_a_complete_run_is_only_loaded(case, tmp_path, same):
    shutil.copytree(case.folder, tmp_path / "run")
    trainer = case.variant()
    trainer.programs, trainer._evaluate = trainer.programs._replace(step=None), None
    again = trainer.run(case.members, tmp_path / "run", progress=False)
    same(again, case.trained)
    assert [t.history for t in again] == [t.history for t in case.trained]


# ---- on another number of devices; see on_devices.py --------------------------------------------


def devices_used(folder):
    entries = json.loads((folder / "execution.json").read_text())
    return [(e["settings"]["devices"], e["used"]["devices"]) for e in entries]


def check_predictor(predictor, alone, tree_close):
    """Compares the members of a predictor with those of an unbroken run on one device."""
    want = [*alone.trained, *alone.trainer.run([1], progress=False)]
    params = jax.tree.map(lambda *x: np.stack(x), *(member.params for member in want))
    tree_close(predictor["params"], params)
    records = [record for member in want for record in member.history]
    for got, record in zip(predictor["history"], records, strict=True):
        for name in ("member", "epoch", "train_nll", "train_contrastive", "valid_nll"):
            np.testing.assert_allclose(got[name], record[name], rtol=1e-3, err_msg=name)


@pytest.mark.slow
def test_a_run_killed_on_four_devices_continues_on_one(on_devices, alone, tree_close):
    predictor = on_devices["resumed on 1"]
    check_predictor(predictor, alone, tree_close)
    assert devices_used(on_devices["folder"] / "from 4 to 1") == [(4, 4), (0, 1)]


@pytest.mark.slow
def test_a_run_killed_on_one_device_continues_on_four(on_devices, alone, tree_close):
    check_predictor(on_devices["resumed on 4"], alone, tree_close)
    assert devices_used(on_devices["folder"] / "from 1 to 4") == [(0, 1), (4, 4)]
