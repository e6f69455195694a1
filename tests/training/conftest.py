"""Fixtures of the training tests: one data set, one configuration, two compiled trainers."""

import contextlib
import copy
import dataclasses
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lddu
from lddu import config
from lddu.data.batching import take
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.predictor.fitting import train_only
from lddu.structs import Batch
from lddu.training.augmentation import augment
from lddu.training.trainer import Trained, Trainer

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)
# Small, and with everything that draws random numbers, looks across rows or carries state. What
# modality dropout does to several modalities is tested without the network, which takes long to
# compile for each (see `augment_example`).
CONFIG = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 8,
        "model.encoder.feed_forward": 8,
        "model.encoder.dropout": 0.1,
        "model.encoder.attention_dropout": 0.1,
        "model.label_dropout": 0.1,
        "model.latent": 2,
        "model.latent_hidden": (),
        "model.samples": 2,
        "loss.bank_size": 64,  # two batches
        "train.batch_size": 8,
        "train.epochs": 2,
        "train.patience": 0,
        "train.average": 0.9,
        "train.weight_decay": 0.5,
        "train.feature_noise": 0.1,
        "train.step_dropout": 0.3,
        "train.modality_dropout": 0.2,
        "train.members": 2,
        "execution.packing": False,
        "execution.parallel_members": "never",
    },
)
# For programs that three processes compile: what looks across rows.
SMALLER = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.encoder.feed_forward": 4,
        "model.encoder.dropout": 0.1,
        "model.latent": 2,
        "model.latent_hidden": (),
        "loss.bank_size": 16,
        "loss.unimodal": 0.0,
        "loss.kl": 0.0,
        "train.batch_size": 8,
        "train.epochs": 2,
        "train.patience": 0,
        "train.feature_noise": 0.1,
    },
)


class RecordingTrainer(Trainer):
    """A trainer that keeps the state after its last epoch."""

    state: Any = None

    def _epoch(self, *args):
        state, steps = super()._epoch(*args)
        self.state = jax.device_get(state)
        return state, steps


def make_data() -> tuple[Batch, Batch]:
    """20 training rows, so that the last batch is filled up, and 12 for validation.

    Most sequences are so short that any eight fit into five rows, some have gaps or no steps;
    rows have different weights.
    """
    rng, data = np.random.default_rng(0), []
    for rows in (20, 12):
        batch = generate(rows, seed=rows, config=LAW).batch
        patterns = ["1111", "1010", "0100", "0000", *["1000", "1000", "1100"] * rows][:rows]
        mask = np.array([[step == "1" for step in pattern] for pattern in patterns])
        x = batch.modalities["x"]
        x = x.replace(values=np.where(mask[..., None], x.values, np.nan), mask=mask)
        weight = rng.uniform(0.5, 2.0, rows).astype(np.float32)
        data.append(batch.replace(modalities={**batch.modalities, "x": x}, weight=weight))
    return tuple(data)


def augment_example():
    """Returns a function of data, rows and a member's key that changes rows, and its arguments.

    The rows have three modalities, of which some are missing; there are two members.
    """
    law = SyntheticConfig(
        labels=("a",),
        features=(("x", 2), ("y", 2), ("z", 2)),
        length=(("x", 3), ("y", 2), ("z", 1)),
        missing=0.3,
    )
    changes = {"train.feature_noise": 0.2, "train.step_dropout": 0.5, "train.modality_dropout": 0.5}
    cfg = config.tiny({"x": (2, 3), "y": (2, 2), "z": (2, 1)}, ["a"])
    cfg = config.replace(cfg, changes)

    def changed(data, index, key):
        batch = augment(*jax.random.split(key), take(data, index), cfg)
        values = {name: m.values for name, m in batch.modalities.items()}
        return values, {name: batch.effective_mask(name) for name in batch.modalities}

    data, keys = generate(8, config=law).batch, jax.random.split(jax.random.key(0, impl="rbg"), 2)
    return changed, jax.tree.map(jnp.asarray, data), np.arange(8), keys


@dataclasses.dataclass
class Case:
    """A trainer of groups of one size, and a run of members 0, 1, ... with its last state."""

    trainer: RecordingTrainer
    members: tuple[int, ...]
    trained: list[Trained]
    state: Any
    folder: Path

    def variant(self, **changes):
        """Returns a trainer with the same programs and options that only the loop reads."""
        new = copy.copy(self.trainer)
        new.config = config.replace(CONFIG, {f"train.{k}": v for k, v in changes.items()})
        return new

    def killed(self, epoch):
        """Returns a trainer that is killed in an epoch, before it is complete."""
        new, calls = copy.copy(self.trainer), []

        def evaluate(params):
            calls.append(params)
            if len(calls) == epoch:
                raise KeyboardInterrupt
            return self.trainer._evaluate(params)

        new._evaluate = evaluate
        return new

    def scripted(self, monkeypatch, nll, f1=None, **changes):
        """Returns a variant with given scores per member, and a list of what it validates."""
        new, seen, count = self.variant(**changes), [], len(self.members)

        def evaluate(params):
            seen.append(jax.device_get(params))
            return np.array([(row, len(seen) - 1) for row in range(count)])

        def scores(probs, labels, weights):
            row, epoch = probs
            return {
                "valid_nll": nll[row][epoch],
                "valid_micro_f1": f1[row][epoch] if f1 else 0.5,
            }

        new._evaluate = evaluate
        monkeypatch.setattr("lddu.training.trainer.validation_scores", scores)
        return new, seen

    def after_steps(self, change, **changes):
        """Returns a variant with `change(number, state)` applied after each step."""
        new, calls = self.variant(**changes), []

        def step(*args):
            state, terms = self.trainer.programs.step(*args)
            calls.append(terms)
            return change(len(calls), state), terms

        new.programs = new.programs._replace(step=step)
        return new


def make_case(together, data, folder):
    trainer = RecordingTrainer(CONFIG, *data, together=together)
    members = tuple(range(together))
    trained = trainer.run(members, folder, progress=False)
    return Case(trainer, members, trained, trainer.state, folder)


@pytest.fixture(scope="session")
def data():
    """(train, valid)."""
    return make_data()


@pytest.fixture(scope="session")
def alone(data, tmp_path_factory):
    """A trainer of one member, and its run."""
    return make_case(1, data, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="session")
def pair(data, tmp_path_factory):
    """A trainer of two members at the same time, and its run."""
    return make_case(2, data, tmp_path_factory.mktemp("pair"))


@pytest.fixture(params=["alone", "pair"])
def case(request):
    """Each of the two."""
    return request.getfixturevalue(request.param)


def start(script, devices, *arguments):
    """Starts a script of this folder in a process with simulated devices."""
    flags = os.environ.get("XLA_FLAGS", "")
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(lddu.__file__).parents[1]),
    }
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    return subprocess.Popen(command, env=environment)


@pytest.fixture(scope="session")
def start_script():
    """`start`."""
    return start


@pytest.fixture(scope="session")
def on_devices(pair, data, tmp_path_factory):
    """What `on_devices.py` computed on eight devices, and its folder.

    A run that was killed here on one device continues there on eight, and the other way round.
    """
    folder = tmp_path_factory.mktemp("devices")
    together = config.replace(CONFIG, {"execution.parallel_members": "always"})

    def fit_here(trainer, name):
        with mock.patch("lddu.training.members.Trainer", return_value=trainer):
            return train_only(together, *data, folder=folder / name, progress=False)

    with contextlib.suppress(KeyboardInterrupt):
        fit_here(pair.killed(2), "from 1 to 8")
    assert start("on_devices.py", 8, folder).wait() == 0
    found = pickle.loads((folder / "found").read_bytes())
    resumed = fit_here(pair.trainer, "from 8 to 1")
    found["resumed on 1"] = {"params": resumed.params, "history": resumed.history}
    return {**found, "folder": folder}


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def untaught(path):
    """Returns whether rounding errors alone move a parameter.

    No softmax sees the biases of attention's keys, and Adam makes steps of their gradients.
    """
    return "['key']['bias']" in jax.tree_util.keystr(path)


def tree_near(got, want, tolerance=1e-3):
    """Raises unless all leaves that are taught agree up to rounding."""

    def near(path, a, b):
        if not untaught(path):
            name = jax.tree_util.keystr(path)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=name)

    jax.tree_util.tree_map_with_path(near, got, want)


@pytest.fixture(scope="session")
def tree_close():
    """`tree_near`."""
    return tree_near


@pytest.fixture(scope="session")
def same():
    """Raises unless two lists of trained members are equal bit by bit, apart from seconds."""

    def check(got, want):
        for a, b in zip(got, want, strict=True):
            jax.tree.map(np.testing.assert_array_equal, a.params, b.params)
            assert without_seconds(a.history) == without_seconds(b.history)
            assert a.best_epoch == b.best_epoch

    return check


@pytest.fixture(scope="session")
def near():
    """Raises unless two lists of trained members agree up to what rounding grows to."""

    def check(got, want, tolerance=1e-3):
        for a, b in zip(got, want, strict=True):
            tree_near(a.params, b.params, tolerance)
            assert len(a.history) == len(b.history)
            for x, y in zip(a.history, b.history, strict=True):
                assert set(x) == set(y)
                for name in set(x) - {"seconds", "best", "valid_micro_f1"}:
                    np.testing.assert_allclose(
                        x[name], y[name], rtol=tolerance, atol=tolerance, err_msg=name
                    )

    return check


@pytest.fixture
def compiled(caplog):
    """A context that lists what JAX compiles within."""

    @contextlib.contextmanager
    def watch():
        names, before = [], len(caplog.records)
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            yield names
        messages = [record.getMessage() for record in caplog.records[before:]]
        names.extend(message for message in messages if "Compiling" in message)

    return watch


@pytest.fixture(scope="session")
def base_config():
    """`CONFIG`."""
    return CONFIG


@pytest.fixture(scope="session")
def smaller_config():
    """`SMALLER`."""
    return SMALLER


@pytest.fixture(scope="session")
def recording_trainer():
    """`RecordingTrainer`."""
    return RecordingTrainer


@pytest.fixture(scope="session")
def example():
    """`augment_example()`."""
    return augment_example()
