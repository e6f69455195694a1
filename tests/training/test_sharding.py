"""Simulated devices and processes live in processes of their own; see the scripts beside this."""

import pickle
import socket

import jax
import numpy as np
import pytest

from lddu.predictor.network import select
from lddu.training.sharding import (
    largest_divisor,
    mesh_shape,
    parts,
    place,
    require_same,
    split_rows,
    training_mesh,
)
from lddu.training.trainer import Trained


@pytest.mark.parametrize(
    ("members", "batch_size", "devices", "shape"),
    [
        (4, 64, 8, (4, 2)),
        (5, 64, 8, (1, 8)),
        (2, 64, 8, (2, 4)),
        (8, 64, 8, (8, 1)),
        (5, 64, 1, (1, 1)),
        (5, 64, 6, (5, 1)),
        (6, 64, 8, (2, 4)),
        (4, 9, 8, (2, 3)),
        (3, 7, 2, (1, 1)),
    ],
)
def test_the_mesh_uses_most_devices_and_of_equals_has_most_groups(
    members, batch_size, devices, shape
):
    assert mesh_shape(members, batch_size, devices) == shape


def test_as_many_devices_as_divide_the_batch():
    assert [largest_divisor(64, n) for n in (1, 3, 6, 8, 100)] == [1, 2, 4, 8, 64]


def test_a_mesh_of_one_device_is_fine():
    (device,) = jax.local_devices()[:1]
    mesh = training_mesh(1, 7, [device])
    tree = place({"a": np.arange(3), "key": jax.random.key(0, impl="rbg")}, mesh)
    assert mesh.size == parts(mesh) == parts(None) == 1
    assert all(leaf.sharding.device_set == {device} for leaf in jax.tree.leaves(tree))
    assert split_rows(len, mesh, (0,)) is split_rows(len, None, (0,)) is len


def test_without_a_mesh_arrays_are_not_tied_to_a_device():
    assert training_mesh(4, 8, None) is None
    assert not place(np.arange(3), None).committed


def test_one_process_needs_no_comparison(data):
    require_same(*data)


# ---- eight devices, simulated -------------------------------------------------------------------


@pytest.mark.slow
def test_eight_devices_train_the_same_members(on_devices, pair, near, tree_close):
    assert on_devices["mesh"] == (2, 4)
    near([Trained(*member) for member in on_devices["trained"]], pair.trained)
    # All of the state: moments of the optimiser, average, memory bank.
    tree_close(on_devices["state"], pair.state)


@pytest.mark.slow
def test_devices_compile_once_and_results_are_tied_to_none(on_devices):
    assert on_devices["data on"] == 8
    assert on_devices["compiled"] == 1  # also for the state of another number of devices
    assert on_devices["kept on"] == {1}


@pytest.mark.slow
def test_devices_that_share_a_batch_compute_a_share_each(on_devices, pair):
    # Each has one of the two members and a quarter of its rows, but updates all its parameters.
    state, _, keys = pair.trainer._start(pair.members)
    index = np.zeros((2, 3, 8), int)
    rows, _ = next(pair.trainer._packer.calls(index))
    step = pair.trainer.programs.step.jitted
    whole = step.lower(state, pair.trainer._train, rows, np.ones(8, np.float32), keys).compile()
    assert on_devices["flops"] < 0.4 * whole.cost_analysis()["flops"]


@pytest.mark.slow
def test_groups_do_not_communicate_and_draw_the_same_however_they_split_rows(on_devices):
    whole, split = on_devices["draws"]
    assert len(np.unique(whole["normal"])) == 8 * 8
    np.testing.assert_array_equal(split["normal"], whole["normal"])
    np.testing.assert_allclose(split["total"], whole["total"], rtol=1e-5)
    assert not whole["communicate"]
    assert split["communicate"]


@pytest.mark.slow
def test_which_devices_are_used(on_devices):
    assert on_devices["meshes"] == {64: 8, 12: 6, 9: 3, 7: 7, 11: 1}
    assert on_devices["devices"] == {
        "auto": None,
        "at most 4": 4,
        "at most 99": 8,
        "auto on gpu": 8,
    }


# ---- two processes ------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_train_as_one_device_does(
    smaller_config, recording_trainer, data, near, start_script, tmp_path
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [start_script("in_two_processes.py", 2, tmp_path, port, k) for k in range(2)]
    rows = [select(batch, smaller_config.model) for batch in data]
    want = recording_trainer(smaller_config, *rows).run(progress=False)
    try:
        assert [process.wait(timeout=600) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    first, second = (pickle.loads((tmp_path / f"found{k}").read_bytes()) for k in range(2))
    for found in (first, second):
        near([Trained(*found["trained"])], want)
        assert found["compiled"] == 1
        assert found["devices"] == [0, 0, 1, 1]
        assert not found["together"]
        assert "batch_size=3 cannot be divided equally among 2 processes" in found["odd batch"]
        assert "processes hold different data" in found["other data"]
        assert "within one process only" in found["group"]
    # Bit by bit: the copies must not drift apart.
    jax.tree.map(np.testing.assert_array_equal, first["trained"][0], second["trained"][0])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
