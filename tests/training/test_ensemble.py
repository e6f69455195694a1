import copy
import dataclasses
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lddu
from lddu import config
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.training import members
from lddu.training.checkpoint import RunFolder
from lddu.training.ensemble import EnsembleTrainer, over_members
from lddu.training.loop import Trainer
from lddu.training.sharding import member_mesh, mesh_shape, split_rows

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)
# Small, and without random draws inside a step: those differ from a member's trained alone.
CONFIG = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "loss.bank_size": 16,
        "train.batch_size": 8,
        "train.epochs": 3,
        "train.patience": 0,
        "train.average": 0.9,
        "train.members": 4,
    },
)


def make_data():
    """20 training rows, so that the last batch is filled, and 12 for validation."""
    return generate(20, seed=1, config=LAW).batch, generate(12, seed=2, config=LAW).batch


@pytest.fixture(scope="module", autouse=True)
def unoptimised():
    """Compiles fast: these programs run for milliseconds and compile for many seconds."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def trainer(unoptimised):
    return EnsembleTrainer(CONFIG, *make_data(), devices=jax.local_devices()[:1])


class Compilations(logging.Handler):
    """Lists what JAX compiles; the list so far is copied at the start of every epoch."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.by_epoch = []

    def emit(self, record):
        if "Compiling" in record.getMessage():
            self.names.append(record.getMessage())


@pytest.fixture(scope="module")
def reference(trainer, tmp_path_factory):
    """A run from start to end, its folder, and what it compiled."""
    folder = tmp_path_factory.mktemp("reference")
    watched, log = copy.copy(trainer), Compilations()

    def validate(params, members):
        scores = trainer._validate(params, members)
        log.by_epoch.append(list(log.names))
        return scores

    watched._validate = validate
    logging.getLogger("jax").addHandler(log)
    try:
        with jax.log_compiles():
            trained = watched.run(folder, progress=False)
    finally:
        logging.getLogger("jax").removeHandler(log)
    return trained, folder, log


@pytest.fixture(scope="module")
def alone(unoptimised):
    """Two of the members, each trained by itself."""
    single = Trainer(CONFIG, *make_data())
    return {k: single.run(k, progress=False) for k in (0, 3)}


def variant(trainer, **changes):
    """The same compiled functions with options that only the loop reads."""
    new = copy.copy(trainer)
    new.config = config.replace(CONFIG, {f"train.{k}": v for k, v in changes.items()})
    return new


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def assert_same(got, want):
    assert len(got) == len(want) == 4
    for a, b in zip(got, want, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a.params, b.params)
        assert without_seconds(a.history) == without_seconds(b.history)
        assert a.best_epoch == b.best_epoch


def assert_close(got, want):
    def close(path, a, b):
        # A bias of attention keys changes no prediction: its gradient is rounding error, and Adam
        # makes steps of it.
        atol = 1e-2 if path[-2:] == ("key", "bias") else 1e-5
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=str(path))

    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        close(tuple(key.key for key in path), a, b)


def scripted(monkeypatch, trainer, nll):
    """Replaces validation by scores given per member; returns what was validated."""
    seen = []

    def validate(params, members):
        seen.append((jax.tree.map(np.asarray, params), members))
        return {k: {"valid_nll": nll[k][len(seen) - 1], "valid_micro_f1": 0.5} for k in members}

    monkeypatch.setattr(trainer, "_validate", validate)
    return seen


# ---- together and alone -------------------------------------------------------------------------


@pytest.mark.parametrize("member", [0, 3])
def test_a_member_is_the_one_that_trains_alone(reference, alone, member):
    got, want = reference[0][member], alone[member]
    assert_close(got.params, want.params)
    assert got.best_epoch == want.best_epoch
    assert [r["best"] for r in got.history] == [r["best"] for r in want.history]
    for a, b in zip(got.history, want.history, strict=True):
        assert set(a) == set(b)
        for name in set(a) - {"seconds"}:
            # The gradient's norm moves most: it holds those of biases that nothing depends on.
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)


def test_packed_rows_and_several_steps_in_a_call_give_the_same_members(trainer, reference):
    train, valid = make_data()
    mask = np.arange(4) < np.random.default_rng(0).choice([1, 1, 2], (20, 1))
    train = train.replace(modalities={"x": train.modalities["x"].replace(mask=mask)})
    found = []
    for changes in ({"packing": False}, {"steps_per_dispatch": 3}):
        cfg = config.replace(CONFIG, {f"train.{k}": v for k, v in changes.items()})
        other = EnsembleTrainer(cfg, train, valid, devices=jax.local_devices()[:1])
        # The shapes are the same, so it need not compile again what is padded.
        for name in ("_step", "_steps", "_evaluate", "_keep"):
            setattr(other, name, getattr(trainer, name))
        found.append(other.run(progress=False))
        assert (trainer._step._cache_size(), trainer._steps._cache_size()) == (1, len(found) - 1)
    for a, b in zip(*found, strict=True):
        assert_close(a.params, b.params)
        for x, y in zip(a.history, b.history, strict=True):
            assert set(x) == set(y)
            for name in set(x) - {"seconds"}:
                np.testing.assert_allclose(x[name], y[name], rtol=1e-4, err_msg=name)


def test_members_differ(reference):
    weights = np.stack([t.params["fusion"]["head"]["weight"] for t in reference[0]])
    assert np.ptp(weights, axis=0).min() > 1e-3


def test_members_draw_different_numbers_inside_a_step(trainer):
    draw = over_members(
        lambda key: jax.random.normal(key, (5,)), trainer._sharding.mesh, in_axes=(0,)
    )
    draws = draw(trainer._start_all()[2])
    assert len(np.unique(draws)) == 4 * 5


def test_nothing_compiles_after_the_first_epoch(trainer, reference):
    _, _, log = reference
    first, *later = log.by_epoch
    assert any("step" in name for name in first)
    # What keeps the best parameters compiles at the end of the first epoch, after its validation.
    assert [name for name in later[0][len(first) :] if "_choose" not in name] == []
    assert later[1] == later[0]
    assert trainer._step._cache_size() == trainer._keep._cache_size() == 1


def test_metrics_file(reference):
    trained, folder, _ = reference
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for k, member in enumerate(trained):
        records = [line["members"][k] for line in lines]
        assert records == [{"member": k, **record} for record in member.history]
    seconds = [sum(r["seconds"] for r in line["members"]) for line in lines]
    assert 0 < seconds[2] < 60


# ---- which epoch --------------------------------------------------------------------------------


def test_each_member_stops_and_keeps_its_best_epoch_by_itself(trainer, monkeypatch, tmp_path):
    nll = [
        [1.0, 2.0],
        [3.0, 2.0, 1.0, 1.5],
        [2.0, 2.0],  # the earliest of equals
        [5.0, 4.0, 3.0, 2.0, 2.5],
    ]
    trainer = variant(trainer, patience=1, epochs=9)
    seen = scripted(monkeypatch, trainer, nll)
    trained = trainer.run(tmp_path, progress=False)
    assert [members for _, members in seen] == [[0, 1, 2, 3], [0, 1, 2, 3], [1, 3], [1, 3], [3]]
    assert [[r["valid_nll"] for r in t.history] for t in trained] == nll
    assert [t.best_epoch for t in trained] == [1, 3, 1, 4]

    def assert_kept(trained):
        for k, member in enumerate(trained):
            params, _ = seen[member.best_epoch - 1]
            jax.tree.map(
                lambda a, b, k=k: np.testing.assert_array_equal(a, b[k]), member.params, params
            )

    assert_kept(trained)
    # A complete run is only loaded.
    monkeypatch.setattr(trainer, "_step", None)
    again = trainer.run(tmp_path, progress=False)
    assert_kept(again)
    assert [t.history for t in again] == [t.history for t in trained]


def test_what_becomes_of_a_stopped_member_does_not_matter(trainer, monkeypatch):
    trainer = variant(trainer, patience=1, epochs=3)
    scripted(monkeypatch, trainer, [[1.0, 2.0], *([[3.0, 2.0, 1.0]] * 3)])
    step, calls = trainer._step, []

    def breaking(*args):
        state, terms = step(*args)
        calls.append(terms)
        if len(calls) == 7:  # the first step of the third epoch
            broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), (state.params, state.average))
            state = state.replace(params=broken[0], average=broken[1])
        return state, terms

    monkeypatch.setattr(trainer, "_step", breaking)
    trained = trainer.run(progress=False)
    assert [len(t.history) for t in trained] == [2, 3, 3, 3]
    assert all(np.isfinite(leaf).all() for t in trained for leaf in jax.tree.leaves(t.params))


# ---- resumption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_killed_run_goes_on_to_the_same_result(trainer, reference, monkeypatch, tmp_path, epoch):
    calls = []

    def killed(params, members):
        calls.append(params)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return trainer._validate(params, members)

    interrupted = variant(trainer)
    monkeypatch.setattr(interrupted, "_validate", killed)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(tmp_path, progress=False)
    assert_same(trainer.run(tmp_path, progress=False), reference[0])
    assert trainer._step._cache_size() == trainer._keep._cache_size() == 1


def test_a_run_killed_between_its_files_goes_on_to_the_same_result(
    trainer, reference, monkeypatch, tmp_path
):
    replace, calls = Path.replace, []

    def killed(path, target):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(tmp_path, progress=False)
    assert_same(trainer.run(tmp_path, progress=False), reference[0])


def test_a_torn_line_costs_one_epoch(trainer, reference, tmp_path):
    shutil.copytree(reference[1], tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    assert_same(trainer.run(tmp_path / "run", progress=False), reference[0])


# ---- failure, devices, choice -------------------------------------------------------------------


def test_a_member_that_is_not_finite_is_an_error_that_names_it(trainer, monkeypatch, tmp_path):
    # In the last step of an epoch: only validation can see it.
    step, calls = trainer._step, []

    def breaking(*args):
        state, terms = step(*args)
        calls.append(terms)
        if len(calls) == 6:
            average = jax.tree.map(lambda x: x.at[2].set(jnp.nan), state.average)
            state = state.replace(average=average)
        return state, terms

    broken = variant(trainer)
    monkeypatch.setattr(broken, "_step", breaking)
    message = r"member 2 is not finite in epoch 2 \(valid_nll=nan\)"
    with pytest.raises(FloatingPointError, match=message):
        broken.run(tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


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


@pytest.fixture(scope="module")
def on_eight_devices(tmp_path_factory):
    """What this file, run as a script, finds out in a process of its own."""
    out = tmp_path_factory.mktemp("devices")
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    subprocess.run([sys.executable, __file__, str(out)], check=True, env=environment)
    return pickle.loads((out / "found").read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize(("count", "shape"), [(4, (4, 2)), (2, (2, 4))])
def test_eight_devices_give_the_same_members(trainer, reference, on_eight_devices, count, shape):
    wanted, wanted_folder, _ = reference
    found = on_eight_devices
    assert found[count]["shape"] == shape
    assert found[count]["devices"] == {8}
    for got, want in zip(found[count]["trained"], wanted[:count], strict=True):
        assert_close(got.params, want.params)
        assert got.best_epoch == want.best_epoch
        for a, b in zip(got.history, want.history, strict=True):
            assert set(a) == set(b)
            for name in set(a) - {"seconds"}:
                rtol = 1e-4 if name == "train_grad_norm" else 1e-5
                np.testing.assert_allclose(a[name], b[name], rtol=rtol, err_msg=name)

    got = found[count]["bank"]
    want = RunFolder(wanted_folder).load_state(3, trainer._start_all()[0]).bank
    np.testing.assert_allclose(got.features, want.features[:count], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(got.classes, want.classes[:count])
    np.testing.assert_array_equal(got.cursor, want.cursor[:count])


@pytest.mark.slow
def test_devices_that_share_a_batch_compute_a_share_each(on_eight_devices):
    # In both cases of one member: a half of the rows, and a quarter. Not half of the work, because
    # each device updates all of the parameters.
    found = on_eight_devices
    assert found[2]["flops"] < 0.6 * found[4]["flops"]


@pytest.mark.slow
def test_groups_do_not_communicate_and_draw_the_same_however_they_split_rows(on_eight_devices):
    found = on_eight_devices
    whole, split = found["draws"]
    assert len(np.unique(whole["normal"])) == 8 * 8
    np.testing.assert_array_equal(split["normal"], whole["normal"])
    np.testing.assert_allclose(split["total"], whole["total"], rtol=1e-6)
    assert not whole["communicate"]
    assert split["communicate"]


@pytest.mark.parametrize(
    ("choice", "count", "backend", "folder", "parallel"),
    [
        ("auto", 2, "gpu", None, True),
        ("auto", 1, "gpu", None, False),
        ("auto", 2, "cpu", None, False),
        ("always", 1, "cpu", "member-0", True),
        ("never", 2, "gpu", "members", False),
        ("auto", 2, "gpu", "member-0", False),  # goes on as it began
        ("auto", 2, "cpu", "members", True),
    ],
)
def test_when_members_train_together(
    monkeypatch, tmp_path, choice, count, backend, folder, parallel
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    changes = {"train.parallel_members": choice, "train.members": count}
    if folder:
        (tmp_path / folder).mkdir()
    assert members.in_parallel(config.replace(CONFIG, changes), tmp_path) is parallel


def test_the_choice_is_checked_and_older_configurations_take_auto():
    with pytest.raises(ValueError, match="parallel_members='yes'; choose 'auto', 'never' or"):
        config.replace(CONFIG, {"train.parallel_members": "yes"})
    older = json.loads(CONFIG.to_json())
    del older["train"]["parallel_members"]
    assert config.Config.from_json(json.dumps(older)) == CONFIG


def test_fit_takes_members_that_trained_together(trainer, reference, monkeypatch, tmp_path):
    # Without another compilation of the step.
    monkeypatch.setattr(members, "EnsembleTrainer", lambda *args: trainer)
    cfg = config.replace(CONFIG, {"train.parallel_members": "always"})
    predictor = lddu.fit(cfg, *make_data(), folder=tmp_path, progress=False)
    want = jax.tree.map(lambda *x: np.stack(x), *(t.params for t in reference[0]))
    jax.tree.map(np.testing.assert_array_equal, predictor.params, want)
    assert [(r["member"], r["epoch"]) for r in predictor.history] == [
        (k, epoch) for k in range(4) for epoch in (1, 2, 3)
    ]
    assert len((tmp_path / "members" / "metrics.jsonl").read_text().splitlines()) == 3


# ---- in a process of its own --------------------------------------------------------------------


def train_on_devices(count, folder=None):
    there = EnsembleTrainer(
        config.replace(CONFIG, {"train.members": count}), *make_data(), devices=jax.local_devices()
    )
    jitted, found = there._step, {"shape": there._sharding.mesh.devices.shape}
    compiled = None

    def step(state, data, *args):
        nonlocal compiled
        if compiled is None:
            # Unlike `jitted` this takes nothing that it would have to be compiled again for.
            compiled = jitted.lower(state, data, *args).compile()
            found["flops"] = compiled.cost_analysis()["flops"]
            found["devices"] = {len(x.sharding.device_set) for x in (state.step, data.labels)}
        state, terms = compiled(state, data, *args)
        found["bank"] = jax.device_get(state.bank)
        return state, terms

    there._step = step
    trained = there.run(folder, progress=False)
    if folder:  # The run is complete, and only loaded.
        for a, b in zip(there.run(folder, progress=False), trained, strict=True):
            jax.tree.map(np.testing.assert_array_equal, a.params, b.params)
    trained = [dataclasses.replace(t, params=jax.device_get(t.params)) for t in trained]
    return {"trained": trained, **found}


def draw_on_devices(count):
    """Draws for 8 rows of 8 members in 4 groups, totals, and whether devices communicate."""
    mesh = member_mesh(4, 8, jax.local_devices()[:count])

    def draw(rows, key):
        normal = jax.random.normal(key, rows.shape)
        return {"normal": normal, "total": (rows * normal).sum()}

    rows = jnp.arange(8 * 8.0).reshape(8, 8)
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 8)
    compiled = over_members(split_rows(draw, mesh, (0,)), mesh, (0, 0)).lower(rows, keys).compile()
    communicate = "replica_groups" in compiled.as_text()
    return {**jax.device_get(compiled(rows, keys)), "communicate": communicate}


if __name__ == "__main__":  # what `on_eight_devices` starts
    out = Path(sys.argv[1])
    found = {4: train_on_devices(4), 2: train_on_devices(2, out / "run")}
    found["draws"] = [draw_on_devices(count) for count in (4, 8)]
    (out / "found").write_bytes(pickle.dumps(found))
