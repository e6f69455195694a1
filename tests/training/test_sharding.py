"""Simulated devices and processes live in processes of their own: this file, run as a script."""

import contextlib
import copy
import logging
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from lddu import config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.packing.structs import Rows
from lddu.training.ensemble import EnsembleTrainer
from lddu.training.loop import Trained, Trainer
from lddu.training.members import in_parallel
from lddu.training.sharding import (
    data_mesh,
    largest_divisor,
    replicate,
    require_same,
    training_devices,
)

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.2)
# Small, with all that looks across rows or draws random numbers for them.
CONFIG = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.encoder.dropout": 0.1,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "loss.bank_size": 16,
        "train.batch_size": 8,
        "train.epochs": 2,
        "train.patience": 0,
        "train.average": 0.9,
        "train.feature_noise": 0.1,
    },
)


def make_data():
    """20 training rows: the last batch is half full. 12 for validation: not a multiple of 8."""
    return generate(20, seed=1, config=LAW).batch, generate(12, seed=2, config=LAW).batch


@pytest.fixture(scope="module")
def reference():
    """What one device gives, and the work of a step."""
    jax.config.update("jax_disable_most_optimizations", True)  # else it compiles for long
    trainer = Trainer(CONFIG, *make_data())
    result = trainer.run(progress=False), flops(trainer, trainer._step)
    jax.config.update("jax_disable_most_optimizations", False)
    return result


def flops(trainer, step):
    """Floating-point operations of one device in one step."""
    state, order_key, key = trainer._start(0)
    state, key = trainer._place((state, key))
    rows, weight = trainer._order(order_key, 1)
    compiled = step.lower(state, trainer._train, Rows(rows[0]), weight[0], key).compile()
    return compiled.cost_analysis()["flops"]


def start(devices, *arguments):
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, env=environment)


def assert_close(got, want):
    assert got.best_epoch == want.best_epoch
    for a, b in zip(got.history, want.history, strict=True):
        assert set(a) == set(b)
        for name in set(a) - {"seconds"}:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(got.params), jax.tree.leaves(want.params), strict=True
    ):
        # A bias of attention keys changes no prediction: its gradient is rounding error, and Adam
        # makes steps of it.
        atol = 1e-2 if tuple(key.key for key in path[-2:]) == ("key", "bias") else 1e-5
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=str(path))


@pytest.mark.slow
def test_eight_devices_train_as_one_does(reference, tmp_path):
    trained, flops = reference
    assert start(8, "devices", tmp_path / "out").wait() == 0
    found = pickle.loads((tmp_path / "out").read_bytes())
    assert_close(found["trained"], trained)
    assert found["compiled"] == {"steps": 6, "first": True, "later": 0, "step": 1}
    # An eighth, and what each device does in full, such as the update of the parameters.
    assert found["flops"] < 0.25 * flops
    assert found["devices"] == {"data": 8, "kept": 1}
    assert found["mesh"] == {64: 8, 12: 6, 9: 3, 7: 7, 11: 1}
    assert found["auto"] is None
    assert found["auto on gpu"] == found["at most 99"] == 8
    assert found["at most 4"] == 4


@pytest.mark.slow
def test_two_processes_train_as_one_device_does(reference, tmp_path):
    trained, _ = reference
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [start(2, "process", tmp_path / f"out{k}", port, k, tmp_path) for k in range(2)]
    try:
        assert [process.wait(timeout=120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    first, second = (pickle.loads((tmp_path / f"out{k}").read_bytes()) for k in range(2))
    for found in (first, second):
        assert_close(found["trained"], trained)
        assert found["step"] == 1
        assert found["devices"] == [0, 0, 1, 1]
        assert not found["parallel"]
        assert "batch_size=3 does not divide among 2 processes" in found["odd batch"]
        assert "processes hold different data" in found["other data"]
        assert "within one process only" in found["together"]
    # Bit by bit: the copies must not drift apart.
    jax.tree.map(np.testing.assert_array_equal, first["trained"].params, second["trained"].params)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_as_many_devices_as_divide_the_batch():
    assert [largest_divisor(64, n) for n in (1, 3, 6, 8, 100)] == [1, 2, 4, 8, 64]


def test_a_mesh_of_one_device_is_fine():
    (device,) = jax.local_devices()[:1]
    mesh = data_mesh(7, [device])
    tree = replicate({"a": np.arange(3), "key": jax.random.key(0, impl="rbg")}, mesh)
    assert mesh.size == 1
    assert all(leaf.sharding.device_set == {device} for leaf in jax.tree.leaves(tree))


def test_one_process_needs_no_comparison():
    require_same(*make_data())


def test_the_number_of_devices_is_checked():
    with pytest.raises(ValueError, match="devices=-1 is negative; 0 takes all"):
        config.replace(CONFIG, {"train.devices": -1})


# ---- in a process of its own --------------------------------------------------------------------


class Compilations(logging.Handler):
    def __init__(self):
        super().__init__()
        self.count = 0

    def emit(self, record):
        self.count += "Compiling" in record.getMessage()


def on_devices():
    data = make_data()
    trainer = Trainer(config.replace(CONFIG, {"train.devices": 8}), *data)
    log, compiled, step = Compilations(), [], trainer._step

    def counted(*args):
        before = log.count
        result = step(*args)
        compiled.append(log.count - before)
        return result

    trainer._step = counted
    logging.getLogger("jax").addHandler(log)
    with jax.log_compiles():
        trained = trainer.run(progress=False)

    found = {
        "trained": trained,
        "compiled": {
            "steps": len(compiled),
            "first": compiled[0] > 0,
            "later": sum(compiled[1:]),
            "step": step._cache_size(),
        },
        "flops": flops(trainer, step),
        "devices": {
            "data": len(trainer._train.labels.sharding.device_set),
            "kept": len(jax.tree.leaves(trained.params)[0].sharding.device_set),
        },
        "mesh": {n: data_mesh(n, jax.devices()).size for n in (64, 12, 9, 7, 11)},
        "auto": training_devices(),
        "at most 4": len(training_devices(4)),
        "at most 99": len(training_devices(99)),
    }
    jax.default_backend = lambda: "gpu"
    return {**found, "auto on gpu": len(training_devices())}


def message(function, *args):
    try:
        function(*args)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{function} accepted {args}")


def in_process(port, process, folder):
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    data = make_data()
    cfg = config.replace(CONFIG, {"train.devices": 2})
    trainer = Trainer(cfg, *data)

    class Killed(Exception):
        pass

    def killed(params):
        if (Path(folder) / "run" / "metrics.jsonl").exists():
            raise Killed
        return trainer._validate(params)

    interrupted = copy.copy(trainer)
    interrupted._validate = killed
    with contextlib.suppress(Killed):
        interrupted.run(0, Path(folder) / "run", progress=False)
    mine = jax.tree.map(lambda x: x + int(process) * (x.dtype == np.float32), data[0])
    trained = trainer.run(0, Path(folder) / "run", progress=False)
    again = trainer.run(0, Path(folder) / "run", progress=False)  # only loaded
    jax.tree.map(np.testing.assert_array_equal, again.params, trained.params)
    return {
        "trained": trained,
        "step": trainer._step._cache_size(),
        "devices": [device.process_index for device in trainer._mesh.devices],
        "parallel": in_parallel(config.replace(cfg, {"train.members": 2})),
        "odd batch": message(data_mesh, 3, jax.devices()),
        "other data": message(require_same, mine),
        "together": message(EnsembleTrainer, cfg, *data),
    }


if __name__ == "__main__":
    what, out, *arguments = sys.argv[1:]
    found = on_devices() if what == "devices" else in_process(*arguments)
    trained = found["trained"]
    params = jax.tree.map(np.asarray, trained.params)
    found["trained"] = Trained(params, trained.history, trained.best_epoch)
    Path(out).write_bytes(pickle.dumps(found))
