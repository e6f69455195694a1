"""What two processes compute together: `python in_two_processes.py FOLDER PORT PROCESS`.

Each has two simulated devices.
"""

import copy
import pickle
import sys
from pathlib import Path

import jax
import numpy as np
from conftest import SMALLER, RecordingTrainer, make_data

from lddu import config
from lddu.predictor.network import select
from lddu.training.members import trains_together
from lddu.training.sharding import require_same, training_mesh


class Killed(Exception):
    pass


def message(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{function} accepted {args}")


def main(folder, port, process):
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
    cfg = config.replace(SMALLER, {"execution.devices": 2})
    data = tuple(select(batch, cfg.model) for batch in make_data())
    trainer, run = RecordingTrainer(cfg, *data), folder / "run"

    def killed(params):
        if (run / "metrics.jsonl").exists():
            raise Killed
        return trainer._evaluate(params)

    interrupted = copy.copy(trainer)
    interrupted._evaluate = killed
    try:
        interrupted.run(folder=run, progress=False)
        raise AssertionError("the run was not killed")
    except Killed:
        pass
    (trained,) = trainer.run(folder=run, progress=False)
    (again,) = trainer.run(folder=run, progress=False)  # only loaded
    jax.tree.map(np.testing.assert_array_equal, again.params, trained.params)
    mine = jax.tree.map(lambda x: x + process * (x.dtype == np.float32), data[0])
    found = {
        "trained": jax.device_get((trained.params, trained.history, trained.best_epoch)),
        "compiled": trainer.programs.step.jitted._cache_size(),
        "devices": [device.process_index for device in trainer.mesh.devices.flat],
        "together": trains_together(config.replace(cfg, {"train.members": 2})),
        "odd batch": message(training_mesh, 1, 3, jax.devices()),
        "other data": message(require_same, mine),
        "group": message(RecordingTrainer, cfg, *data, together=2),
    }
    (folder / f"found{process}").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
