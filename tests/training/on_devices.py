"""What simulated devices compute, in a process of its own: `python on_devices.py FOLDER`."""

import contextlib
import pickle
import sys
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from conftest import CONFIG, RecordingTrainer, augment_example, make_data

from lddu import config
from lddu.data.batching import batches
from lddu.predictor.fitting import train_only
from lddu.training.programs import compile_group
from lddu.training.sharding import split_rows, training_devices, training_mesh


def flops(trainer, members):
    """Returns the floating-point operations of one device in one step."""
    state, _, keys = trainer._start(members)
    index, weight = batches(np.arange(20), 8)
    rows, _ = next(trainer._packer.calls(np.stack([index] * len(members))))
    step = trainer.programs.step.jitted.lower(state, trainer._train, rows, weight[0], keys)
    return step.compile().cost_analysis()["flops"]


def train(folder):
    """Trains two members, four devices for each: a whole run, the rest of one, a part of one."""
    changes = {"execution.devices": 8, "execution.parallel_members": "always"}
    cfg, data = config.replace(CONFIG, changes), make_data()
    trainer = RecordingTrainer(cfg, *data, together=2)
    trained = trainer.run((0, 1), progress=False)
    leaves = jax.tree.leaves([member.params for member in trained])
    found = {
        "trained": jax.device_get([(t.params, t.history, t.best_epoch) for t in trained]),
        "state": trainer.state,
        "mesh": trainer.mesh.devices.shape,
        "data on": len(trainer._train.batch.labels.sharding.device_set),
        "kept on": {len(leaf.sharding.device_set) for leaf in leaves},
        "flops": flops(trainer, (0, 1)),
    }
    evaluate, calls = trainer._evaluate, []

    def killed(params):
        calls.append(params)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(params)

    with mock.patch("lddu.training.members.Trainer", return_value=trainer):
        resumed = train_only(cfg, *data, folder=folder / "from 1 to 8", progress=False)
        trainer._evaluate = killed
        with contextlib.suppress(KeyboardInterrupt):
            train_only(cfg, *data, folder=folder / "from 8 to 1", progress=False)
    params = jax.device_get(resumed.params)
    found["resumed on 8"] = {"params": params, "history": resumed.history}
    return {**found, "compiled": trainer.programs.step.jitted._cache_size()}


def draw(count):
    """Draws for 8 rows of 8 members in 4 groups, sums them, and looks whether devices talk."""
    mesh = training_mesh(4, 8, jax.local_devices()[:count])

    def draw(rows, key):
        normal = jax.random.normal(key, rows.shape)
        return {"normal": normal, "total": (rows * normal).sum()}

    rows = jnp.arange(8 * 8.0).reshape(8, 8)
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 8)
    function = compile_group(split_rows(draw, mesh, (0,)), 8, (0, 0), mesh)
    compiled = function.lower(rows, keys).compile()
    communicate = "replica_groups" in compiled.as_text()
    return {**jax.device_get(compiled(rows, keys)), "communicate": communicate}


def augmented():
    """Changes the rows of two members, each on four devices."""
    function, *arguments = augment_example()
    mesh = training_mesh(2, 8, jax.local_devices())
    group = compile_group(split_rows(function, mesh, (1,)), 2, (None, None, 0), mesh)
    return jax.device_get(group(*arguments))


def main(folder):
    found = {
        "draws": [draw(count) for count in (4, 8)],
        "augmented": augmented(),
        "meshes": {n: training_mesh(1, n, jax.devices()).size for n in (64, 12, 9, 7, 11)},
        "devices": {
            "auto": training_devices(),
            "at most 4": len(training_devices(4)),
            "at most 99": len(training_devices(99)),
        },
        **train(folder),
    }
    jax.default_backend = lambda: "gpu"
    found["devices"]["auto on gpu"] = len(training_devices())
    (folder / "found").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
