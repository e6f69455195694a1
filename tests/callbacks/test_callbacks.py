"""Hooks of a training, own ones and those of experiment trackers."""

import json

import numpy as np
import pytest

import lddu
from lddu import callbacks, config
from lddu.callbacks import Callback


class Recorder(Callback):
    """Notes every call."""

    def __init__(self):
        self.calls = []

    def start(self, start):
        self.calls.append(("start", start))

    def step(self, step, terms):
        self.calls.append(("step", step))

    def epoch(self, records):
        self.calls.append(("epoch", list(records)))

    def end(self, records):
        self.calls.append(("end", list(records)))

    def of(self, name):
        return [what for kind, what in self.calls if kind == name]


def records(member=0, epochs=2):
    """The records of a member as training makes them."""
    return [
        {"member": member, "epoch": e, "seconds": 1.0, "train_nll": 1 / e, "valid_nll": 2 / e}
        | {"valid_micro_f1": 0.5, "best": True}
        for e in range(1, epochs + 1)
    ]


def drive(callback, cfg, members=(0, 1)):
    """Calls a callback as a training of members in turn does."""
    for k in members:
        callback.start(callbacks.Start(cfg, (k,), 0, 3, None))
        for record in records(k):
            callback.step(3 * record["epoch"], {})
            callback.epoch([record])
        callback.end(records(k))


@pytest.fixture
def two(tiny_config):
    """A configuration of two members."""
    return config.replace(tiny_config, {"train.members": 2})


@pytest.mark.slow
def test_training_calls_each_hook_in_its_place(tiny_data, tiny_config, tmp_path):
    train, valid, _ = tiny_data
    cfg = config.replace(tiny_config, {"train.members": 2, "train.seed": 2})
    recorder = Recorder()
    predictor = lddu.fit(
        cfg, train.batch, valid.batch, folder=tmp_path, progress=False, callbacks=[recorder]
    )
    steps = -(-train.batch.size // cfg.train.batch_size)
    epochs = cfg.train.epochs
    one = ["start", *(["step"] * steps + ["epoch"]) * epochs, "end"]
    groups = len(recorder.of("start"))
    assert [kind for kind, _ in recorder.calls] == one * groups
    assert recorder.of("step") == list(range(1, steps * epochs + 1)) * groups
    assert sum((start.members for start in recorder.of("start")), ()) == (0, 1)
    assert recorder.of("start")[0].folder.parent == tmp_path
    told = sorted((r["member"], r["epoch"]) for group in recorder.of("end") for r in group)
    assert told == sorted((r["member"], r["epoch"]) for r in predictor.history)


@pytest.mark.slow
def test_a_hook_that_raises_ends_the_training_and_loses_no_epoch(tiny_data, tiny_config, tmp_path):
    train, valid, _ = tiny_data

    class Stop(Callback):
        def epoch(self, records):
            if records[0]["epoch"] == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lddu.fit(
            tiny_config,
            train.batch,
            valid.batch,
            folder=tmp_path,
            progress=False,
            callbacks=[Stop()],
        )
    recorder = Recorder()
    lddu.fit(
        tiny_config,
        train.batch,
        valid.batch,
        folder=tmp_path,
        progress=False,
        callbacks=[recorder],
    )
    assert recorder.of("start")[0].epoch == 1
    assert recorder.of("epoch")[0][0]["epoch"] == 2


def test_the_base_class_does_nothing(two):
    drive(Callback(), two)


def test_tensorboard_files_hold_the_figures(two, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard, which reads the files back, is not installed",
    )
    drive(callbacks.TensorBoard(tmp_path), two)
    for k in (0, 1):
        read = event_accumulator.EventAccumulator(str(tmp_path / f"member-{k}"))
        read.Reload()
        events = [(e.step, e.value) for e in read.Scalars("valid_nll")]
        assert events == [(1, 2.0), (2, 1.0)]


def test_weights_and_biases_keeps_an_offline_run(two, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    hooks = callbacks.WeightsAndBiases(mode="offline", dir=str(tmp_path), project="lddu")
    drive(hooks, two)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    (log,) = run.glob("run-*.wandb")
    content = log.read_bytes()
    assert b"member-0/valid_nll" in content
    assert b"member-1/valid_nll" in content


def test_mlflow_keeps_figures_and_settings(two, tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy, MLflow's database, is not installed")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    drive(callbacks.MLflow("emotions", "first", uri), two)
    client = MlflowClient(tracking_uri=uri)
    place = client.get_experiment_by_name("emotions").experiment_id
    (run,) = client.search_runs([place])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.members"] == "2"
    kept = client.get_metric_history(run.info.run_id, "member_1/valid_nll")
    assert [(m.step, m.value) for m in kept] == [(1, 2.0), (2, 1.0)]


@pytest.mark.parametrize(
    ("make", "module", "package"),
    [
        (lambda: callbacks.TensorBoard("x"), "tensorboardX", "tensorboardX"),
        (callbacks.WeightsAndBiases, "wandb", "wandb"),
        (callbacks.MLflow, "mlflow.tracking", "mlflow"),
    ],
)
def test_a_missing_tracker_is_named(make, module, package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        make()


def test_figures_of_a_record_are_plain_numbers():
    (record, _) = records()
    figures = callbacks.callback.numbers({**record, "train_nll": np.float32(0.5)})
    assert json.loads(json.dumps(figures)) == figures
    assert "best" not in figures
    assert figures["train_nll"] == 0.5
