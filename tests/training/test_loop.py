import contextlib
import copy
import functools
import json
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu import config
from lddu.data.batching import take
from lddu.data.synthetic import SyntheticConfig, generate
from lddu.training import setup
from lddu.training.loop import Trainer

LAW = SyntheticConfig(labels=("a", "b"), features=(("x", 3),), length=(("x", 4),), missing=0.0)
# Small, and with all that is random or carries state from step to step.
CONFIG = config.replace(
    config.tiny({"x": (3, 4)}, LAW.labels),
    {
        "model.encoder.hidden": 4,
        "model.encoder.dropout": 0.1,
        "model.latent": 2,
        "model.latent_hidden": (4,),
        "model.samples": 2,
        "loss.bank_size": 16,
        "train.batch_size": 8,
        "train.epochs": 3,
        "train.patience": 0,
        "train.average": 0.9,
        "train.feature_noise": 0.1,
        "train.modality_dropout": 0.2,
    },
)


@pytest.fixture(scope="module")
def data():
    """20 training rows, so that the last batch is filled, and 12 for validation."""
    return generate(20, seed=1, config=LAW).batch, generate(12, seed=2, config=LAW).batch


@pytest.fixture(scope="module")
def trainer(data):
    return Trainer(CONFIG, *data)


@pytest.fixture(scope="module")
def reference(trainer, tmp_path_factory):
    """A run from start to end, and its folder."""
    folder = tmp_path_factory.mktemp("reference")
    return trainer.run(0, folder, progress=False), folder


@pytest.fixture
def compiled(caplog):
    """A context that lists what JAX compiles within."""

    @contextlib.contextmanager
    def watch():
        names, before = [], len(caplog.records)
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            yield names
        messages = [r.getMessage() for r in caplog.records[before:]]
        names.extend(m for m in messages if "Compiling" in m)

    return watch


def variant(trainer, **changes):
    """The same compiled functions with options that only the loop reads."""
    new = copy.copy(trainer)
    new.config = config.replace(CONFIG, {f"train.{k}": v for k, v in changes.items()})
    return new


def without_seconds(history):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


def assert_same(got, want):
    jax.tree.map(np.testing.assert_array_equal, got.params, want.params)
    assert without_seconds(got.history) == without_seconds(want.history)
    assert got.best_epoch == want.best_epoch


def scripted(monkeypatch, trainer, nll, f1=None):
    """Replaces validation by given scores; returns the parameters that were validated."""
    seen = []

    def validate(params):
        seen.append(jax.tree.map(np.asarray, params))
        i = len(seen) - 1
        return {"valid_nll": nll[i], "valid_micro_f1": f1[i] if f1 else 0.5}

    monkeypatch.setattr(trainer, "_validate", validate)
    return seen


# ---- the run and its record ---------------------------------------------------------------------


def test_history_and_metrics_file(reference):
    trained, folder = reference
    assert [r["epoch"] for r in trained.history] == [1, 2, 3]
    terms = {f"train_{k}" for k in ("nll", "unimodal", "kl", "spread", "contrastive", "grad_norm")}
    other = {"epoch", "seconds", "valid_nll", "valid_micro_f1", "best"}
    assert all(set(record) == terms | other for record in trained.history)
    assert trained.history[trained.best_epoch - 1]["best"]
    best = min(trained.history, key=lambda r: r["valid_nll"])
    assert best["epoch"] == trained.best_epoch

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert lines == trained.history


def test_a_member_is_determined_by_seed_and_number(trainer, reference):
    assert_same(trainer.run(0, progress=False), reference[0])
    other = trainer.run(1, progress=False)
    assert other.history[0]["train_nll"] != reference[0].history[0]["train_nll"]
    assert (
        other.params["fusion"]["head"]["weight"] != reference[0].params["fusion"]["head"]["weight"]
    ).any()
    seed = variant(trainer, seed=1).run(0, progress=False)
    for one in (reference[0], other):
        assert seed.history[0]["train_nll"] != one.history[0]["train_nll"]


def test_nothing_compiles_after_the_first_member(trainer, reference, compiled):
    with compiled() as names:
        trainer.run(1, progress=False)
    assert names == []
    assert trainer._step._cache_size() == 1
    with compiled() as names:
        jax.jit(lambda x: x + 1)(jnp.ones(7))
    assert names  # so it would have been seen


def test_the_base_rate_is_not_trained(trainer, reference):
    rate = jax.nn.sigmoid(reference[0].params["fusion"]["head"]["prior_logit"])
    np.testing.assert_allclose(rate, trainer._base_rate, rtol=1e-6)


def test_the_average_is_validated_and_kept(trainer, monkeypatch):
    trainer = variant(trainer, epochs=2)
    seen = scripted(monkeypatch, trainer, [2.0, 1.0])
    step, states = trainer._step, []

    def recording(*args):
        state, terms = step(*args)
        states.append(jax.tree.map(np.asarray, (state.params, state.average)))
        return state, terms

    monkeypatch.setattr(trainer, "_step", recording)
    trained = trainer.run(0, progress=False)
    params, average = states[-1]
    jax.tree.map(np.testing.assert_array_equal, seen[-1], average)
    jax.tree.map(np.testing.assert_array_equal, trained.params, average)
    assert (average["fusion"]["head"]["weight"] != params["fusion"]["head"]["weight"]).any()


def test_an_epoch_sees_every_row_once(trainer, monkeypatch):
    trainer = variant(trainer, epochs=2)
    step, rows = trainer._step, []

    def recording(state, data, r, weight, key):
        rows.append(r.index[weight > 0].tolist())
        return step(state, data, r, weight, key)

    monkeypatch.setattr(trainer, "_step", recording)
    trainer.run(0, progress=False)
    assert [len(r) for r in rows] == [8, 8, 4] * 2
    epochs = [[*rows[i], *rows[i + 1], *rows[i + 2]] for i in (0, 3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_epoch_means_weigh_steps_by_their_rows():
    steps = [{"rows": np.array(8), "nll": np.array(1.0)}, {"rows": np.array(2), "nll": np.array(6)}]
    assert setup.epoch_means(steps) == {"train_nll": 2.0}


# ---- several steps in a call, and packed rows ---------------------------------------------------


def assert_near(got, want, tolerance=1e-5):
    near = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    for path, x in jax.tree_util.tree_leaves_with_path(got.params):
        # No softmax sees the biases of attention's keys: what moves them is rounding.
        if "['key']['bias']" not in (name := jax.tree_util.keystr(path)):
            near(x, functools.reduce(lambda t, k: t[k.key], path, want.params), err_msg=name)
    jax.tree.map(near, without_seconds(got.history), without_seconds(want.history))
    assert got.best_epoch == want.best_epoch


@pytest.fixture
def unoptimised():
    """Compiles fast: these programs run for milliseconds and compile for many seconds."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def short_data():
    """24 training rows, all but one with a step or two of four, and 12 for validation."""
    rng, data = np.random.default_rng(0), []
    for rows in (24, 12):
        batch = generate(rows, seed=rows, config=LAW).batch
        mask = np.arange(4) < rng.choice([1, 1, 2], (rows, 1))
        mask[3] = True
        modality = batch.modalities["x"].replace(mask=mask)
        data.append(batch.replace(modalities={"x": modality}))
    return data


# Without dropout: its draws are by place, and packing changes places. Few terms compile fast.
STILL = config.replace(
    CONFIG,
    {
        "model.encoder.dropout": 0.0,
        "model.samples": 0,
        "loss.contrastive": 0.0,
        "loss.spread": 0.0,
        "loss.unimodal": 0.0,
        "train.epochs": 2,
    },
)


@pytest.fixture(scope="module")
def packed(short_data):
    """A trainer that packs, and two of whose three steps an epoch go together."""
    return Trainer(config.replace(STILL, {"train.steps_per_dispatch": 2}), *short_data)


def test_several_steps_in_a_call_give_the_same_run(packed, unoptimised, compiled):
    got = packed.run(0, progress=False)
    with compiled() as names:
        packed.run(1, progress=False)
    assert names == []
    assert (packed._steps._cache_size(), packed._step._cache_size()) == (1, 1)
    singly = copy.copy(packed)
    singly.config, singly._steps = STILL, None
    assert_near(got, singly.run(0, progress=False))
    assert packed._step._cache_size() == 1


def test_packed_rows_give_the_same_run(packed, short_data, unoptimised):
    assert packed._packer.sizes[0]["x"] < 8
    padded = Trainer(config.replace(STILL, {"train.packing": False}), *short_data)
    assert padded._packer.sizes == [{}]
    padded._step, calls = packed._step, packed._step._cache_size()
    want = padded.run(0, progress=False)
    # The same function, but compiled anew for what is not packed.
    assert packed._step._cache_size() == calls + 1
    assert_near(packed.run(0, progress=False), want, 1e-4)


def test_more_steps_in_a_call_than_an_epoch_has_are_single_steps(trainer, reference, monkeypatch):
    many = variant(trainer, steps_per_dispatch=4)
    monkeypatch.setattr(many, "_steps", None)
    assert_same(many.run(0, progress=False), reference[0])


# ---- which epoch --------------------------------------------------------------------------------


@pytest.mark.parametrize(("monitor", "epoch"), [("nll", 2), ("micro_f1", 3)])
def test_the_monitor_picks_the_epoch(trainer, monkeypatch, tmp_path, monitor, epoch):
    trainer = variant(trainer, monitor=monitor)
    seen = scripted(monkeypatch, trainer, [3.0, 1.0, 2.0], [0.1, 0.2, 0.9])
    trained = trainer.run(0, tmp_path, progress=False)
    assert trained.best_epoch == epoch
    jax.tree.map(np.testing.assert_array_equal, trained.params, seen[epoch - 1])
    # What the folder holds is the same epoch.
    again = trainer.run(0, tmp_path, progress=False)
    jax.tree.map(np.testing.assert_array_equal, again.params, seen[epoch - 1])


@pytest.mark.parametrize(
    ("patience", "nll", "epochs", "best"),
    [
        (1, [2.0, 3.0], 2, 1),
        (2, [3.0, 2.0, 2.5, 1.0, 1.5, 2.0], 6, 4),
        (2, [2.0, 2.0, 2.0], 3, 1),  # the earliest of equals
        (0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 7, 1),
    ],
)
def test_early_stopping(trainer, monkeypatch, patience, nll, epochs, best):
    trainer = variant(trainer, patience=patience, epochs=7)
    seen = scripted(monkeypatch, trainer, nll)
    trained = trainer.run(0, progress=False)
    assert len(trained.history) == epochs
    assert trained.best_epoch == best
    jax.tree.map(np.testing.assert_array_equal, trained.params, seen[best - 1])


# ---- resumption ---------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_result(trainer, reference, monkeypatch, tmp_path, epoch):
    calls = []

    def killed(params):
        calls.append(params)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return trainer._validate(params)

    interrupted = variant(trainer)
    monkeypatch.setattr(interrupted, "_validate", killed)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(0, tmp_path, progress=False)
    resumed = trainer.run(0, tmp_path, progress=False)
    assert_same(resumed, reference[0])
    assert trainer._step._cache_size() == 1
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert without_seconds(lines) == without_seconds(reference[0].history)


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
            trainer.run(0, tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    assert_same(trainer.run(0, tmp_path, progress=False), reference[0])


def test_a_torn_line_costs_one_epoch(trainer, reference, tmp_path):
    shutil.copytree(reference[1], tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    assert_same(trainer.run(0, tmp_path / "run", progress=False), reference[0])


def test_a_complete_run_is_only_loaded(trainer, reference, monkeypatch, tmp_path):
    trained, folder = reference
    shutil.copytree(folder, tmp_path / "run")
    done = variant(trainer)
    monkeypatch.setattr(done, "_step", None)
    monkeypatch.setattr(done, "_validate", None)
    assert_same(done.run(0, tmp_path / "run", progress=False), trained)
    np.testing.assert_equal(done.run(0, tmp_path / "run", progress=False).history, trained.history)


# ---- data of other kinds, and failure -----------------------------------------------------------


def with_labels(trainer, data, labels):
    """A trainer on other labels; the shapes are the same, so it need not compile again."""
    train, valid = data
    other = Trainer(CONFIG, train.replace(labels=labels.astype(np.float32)), valid)
    other._step, other._evaluate = trainer._step, trainer._evaluate
    return other


def test_soft_labels_and_labels_that_never_occur(trainer, data):
    labels = np.random.default_rng(0).random((20, 2)).round(1)
    labels[:, 1] = 0
    other = with_labels(trainer, data, labels)
    trained = other.run(0, progress=False)
    assert trainer._step._cache_size() == 1
    assert all(np.isfinite(v) for record in trained.history for v in record.values())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.params))
    rate = jax.nn.sigmoid(trained.params["fusion"]["head"]["prior_logit"])
    np.testing.assert_allclose(rate, [(labels[:, 0].sum() + 1) / 22, 1 / 22], rtol=1e-5)


def test_soft_labels_are_not_rounded(trainer, data):
    soft = np.full((20, 2), 0.7)
    histories = [
        with_labels(trainer, data, labels).run(0, progress=False).history[0]["train_nll"]
        for labels in (soft, soft.round())
    ]
    assert histories[0] > histories[1] + 0.1  # never below the entropy of the targets
    entropy = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    assert entropy - 1e-3 < histories[0] < 1.0


def test_broken_weights_are_an_error_that_names_the_epoch(trainer, monkeypatch, tmp_path):
    # In the last step of an epoch: only validation can see it.
    step, calls = trainer._step, []

    def breaking(*args):
        state, terms = step(*args)
        calls.append(terms)
        if len(calls) == 6:
            state = state.replace(average=jax.tree.map(lambda x: x * jnp.nan, state.average))
        return state, terms

    broken = variant(trainer)
    monkeypatch.setattr(broken, "_step", breaking)
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 2 \(valid_nll=nan\)"):
        broken.run(0, tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_divergence_is_an_error_that_names_the_epoch(data, tmp_path):
    # One step an epoch: the step that breaks the weights still has a finite loss itself.
    cfg = config.replace(
        config.tiny({"x": (3, 4)}, LAW.labels),
        {
            "train.learning_rate": 1e30,
            "train.batch_size": 20,
            "loss.contrastive": 0.0,
            "loss.spread": 0.0,
            "loss.unimodal": 0.0,
        },
    )
    diverging = Trainer(cfg, *data)
    with pytest.raises(FloatingPointError, match=r"not finite in epoch 2.*learning rate"):
        diverging.run(0, tmp_path, progress=False)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_loss_that_is_not_finite_is_an_error(trainer, data):
    train, valid = data
    bad = train.replace(modalities=jax.tree.map(np.copy, train.modalities))
    bad.modalities["x"].values[:, 0] = np.nan
    other = Trainer(CONFIG, bad, valid)
    other._step, other._evaluate = trainer._step, trainer._evaluate
    with pytest.raises(FloatingPointError, match=r"epoch 1 \(train_"):
        other.run(0, progress=False)


def test_validation_scores(trainer, data, monkeypatch):
    probs = np.array([[0.9, 0.2], [0.4, 0.1], [0.3, 0.35]])
    small = Trainer(CONFIG, data[0], take(data[1], np.arange(3)))
    small._valid_labels = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    monkeypatch.setattr(small, "_evaluate", lambda params: probs)
    scores = small._validate(None)
    # The best threshold lies between 0.35 and 0.3, not at one half.
    assert scores["valid_micro_f1"] == 1.0
    likelihood = [0.9, 0.8, 0.4, 0.9, 0.7, 0.35]
    np.testing.assert_allclose(scores["valid_nll"], -np.mean(np.log(likelihood)))
