"""Runs that were killed: continued to the same result, also under other execution settings."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest


@pytest.mark.parametrize(("name", "epochs"), [("alone", [1]), ("alone", [2, 1]), ("pair", [2])])
def test_a_killed_run_continues_to_the_same_result(request, same, tmp_path, name, epochs):
    case = request.getfixturevalue(name)
    programs = case.trainer.programs
    compiled = programs.step.jitted._cache_size(), programs.keep._cache_size()
    for epoch in epochs:  # of those that each attempt runs
        with pytest.raises(KeyboardInterrupt):
            case.killed(epoch).run(case.members, tmp_path, progress=False)
    same(case.trainer.run(case.members, tmp_path, progress=False), case.trained)
    # What was loaded needs no other programs.
    assert (programs.step.jitted._cache_size(), programs.keep._cache_size()) == compiled
    lines, want = (
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path, case.folder)
    )
    assert [{**line, "seconds": 0} for line in lines] == [{**line, "seconds": 0} for line in want]


def test_a_run_killed_between_its_files_continues_to_the_same_result(
    alone, same, monkeypatch, tmp_path
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
            alone.trainer.run(folder=tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    same(alone.trainer.run(folder=tmp_path, progress=False), alone.trained)


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


def check_predictor(predictor, pair, tree_close):
    """Compares a predictor with the members of an unbroken run on one device."""
    params = jax.tree.map(lambda *x: np.stack(x), *(member.params for member in pair.trained))
    tree_close(predictor["params"], params)
    records = [record for member in pair.trained for record in member.history]
    for got, record in zip(predictor["history"], records, strict=True):
        for name in ("member", "epoch", "train_nll", "train_contrastive", "valid_nll"):
            np.testing.assert_allclose(got[name], record[name], rtol=1e-3, err_msg=name)


@pytest.mark.slow
def test_a_run_killed_on_eight_devices_continues_on_one(on_devices, pair, tree_close):
    check_predictor(on_devices["resumed on 1"], pair, tree_close)
    assert devices_used(on_devices["folder"] / "from 8 to 1") == [(8, 8), (0, 1)]


@pytest.mark.slow
def test_a_run_killed_on_one_device_continues_on_eight(on_devices, pair, tree_close):
    check_predictor(on_devices["resumed on 8"], pair, tree_close)
    assert devices_used(on_devices["folder"] / "from 1 to 8") == [(0, 1), (8, 8)]
