"""A run and its record, of one member and of two at the same time."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lddu.training.programs import compile_group

TERMS = ("nll", "unimodal", "kl", "spread", "contrastive", "grad_norm")


def head(params):
    return np.asarray(params["fusion"]["head"]["weight"])


# ---- the run and its record ---------------------------------------------------------------------


def test_history_and_metrics_file(case):
    keys = {f"train_{name}" for name in TERMS}
    keys |= {"member", "epoch", "seconds", "valid_nll", "valid_micro_f1", "best"}
    for k, member in enumerate(case.trained):
        assert [(r["member"], r["epoch"]) for r in member.history] == [(k, 1), (k, 2)]
        assert all(set(record) == keys for record in member.history)
        assert all(record["seconds"] > 0 for record in member.history)
        assert member.history[member.best_epoch - 1]["best"]
        best = min(member.history, key=lambda r: r["valid_nll"])
        assert best["epoch"] == member.best_epoch

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = (case.folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    lines = [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
    assert [(r["epoch"], r["member"]) for r in lines] == [
        (epoch, k) for epoch in (1, 2) for k in case.members
    ]
    for k, member in enumerate(case.trained):
        assert [r for r in lines if r["member"] == k] == member.history


def test_members_of_a_group_share_its_seconds(pair):
    for records in zip(*(member.history for member in pair.trained), strict=True):
        assert len({record["seconds"] for record in records}) == 1


def test_a_member_is_determined_by_seed_and_number(case, same):
    same(case.trainer.run(case.members, progress=False), case.trained)
    shifted = tuple(k + 1 for k in case.members)
    other = case.trainer.run(shifted, progress=False)
    seed = case.variant(seed=1).run(case.members, progress=False)
    for changed in (other[-1], seed[0]):
        assert changed.history[0]["train_nll"] != case.trained[0].history[0]["train_nll"]
        assert (head(changed.params) != head(case.trained[0].params)).any()


def test_members_that_train_together_are_those_that_train_alone(alone, pair, near):
    in_turn = [*alone.trained, *alone.trainer.run([1], progress=False)]
    near(pair.trained, in_turn)


def test_members_of_a_group_differ(pair):
    assert (head(pair.trained[0].params) != head(pair.trained[1].params)).all()


def test_members_draw_different_numbers_inside_a_step(pair):
    draw = compile_group(lambda key: jax.random.normal(key, (5,)), 2, (0,))
    assert len(np.unique(draw(pair.trainer._start(pair.members)[2]))) == 2 * 5


def test_the_group_has_its_size(case):
    with pytest.raises(ValueError, match=f"3 members given, .* groups of {len(case.members)}"):
        case.trainer.run([0, 1, 2], progress=False)


def test_nothing_compiles_after_the_first_run(case, compiled):
    with compiled() as names:
        case.trainer.run([k + 1 for k in case.members], progress=False)
    assert names == []
    assert case.trainer.programs.steps.jitted._cache_size() == 0
    with compiled() as names:
        jax.jit(lambda x: x + 1)(jnp.ones(7))
    assert names  # so it would have been seen


def test_the_base_rate_is_not_trained(case):
    for member in case.trained:
        rate = jax.nn.sigmoid(member.params["fusion"]["head"]["prior_logit"])
        np.testing.assert_allclose(rate, case.trainer._base_rate, rtol=1e-5)


def test_the_average_is_validated_and_kept(case, monkeypatch):
    trainer, seen = case.scripted(monkeypatch, [[2.0, 1.0]] * 2)
    trained = trainer.run(case.members, progress=False)
    params, average = trainer.state.params, trainer.state.average
    jax.tree.map(np.testing.assert_array_equal, seen[-1], average)
    for row, member in enumerate(trained):
        jax.tree.map(
            lambda a, b, r=row: np.testing.assert_array_equal(a, b[r]), member.params, average
        )
    assert (head(average) != head(params)).any()


def test_an_epoch_sees_every_row_once(case):
    step, index = case.trainer.programs.step, []

    def recording(state, data, rows, weight, keys):
        assert weight.shape == (8,)
        index.append(rows.index[:, weight > 0])
        return step(state, data, rows, weight, keys)

    trainer = case.variant()
    trainer.programs = trainer.programs._replace(step=recording)
    trainer.run(case.members, progress=False)
    assert [x.shape[1] for x in index] == [8, 8, 4] * 2
    for row in range(len(case.members)):
        epochs = [np.concatenate([x[row] for x in index[i : i + 3]]).tolist() for i in (0, 3)]
        assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
        assert epochs[0] != epochs[1]


# ---- which epoch --------------------------------------------------------------------------------


@pytest.mark.parametrize(("monitor", "epoch"), [("nll", 2), ("micro_f1", 3)])
def test_the_monitor_picks_the_epoch(alone, monkeypatch, tmp_path, monitor, epoch):
    scores = [[3.0, 1.0, 2.0]], [[0.1, 0.2, 0.9]]
    trainer, seen = alone.scripted(monkeypatch, *scores, monitor=monitor, epochs=3)
    for _ in range(2):  # the second run only loads what the folder holds
        (trained,) = trainer.run(folder=tmp_path, progress=False)
        assert trained.best_epoch == epoch
        jax.tree.map(
            lambda a, b: np.testing.assert_array_equal(a, b[0]), trained.params, seen[epoch - 1]
        )
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("patience", "nll", "epochs", "best"),
    [
        (1, [2.0, 3.0], 2, 1),
        (2, [3.0, 2.0, 2.5, 1.0, 1.5, 2.0], 6, 4),
        (2, [2.0, 2.0, 2.0], 3, 1),  # the earliest of equals
        (0, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 7, 1),
    ],
)
def test_early_stopping(alone, monkeypatch, patience, nll, epochs, best):
    trainer, seen = alone.scripted(monkeypatch, [nll], patience=patience, epochs=7)
    (trained,) = trainer.run(progress=False)
    assert len(trained.history) == epochs
    assert trained.best_epoch == best
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b[0]), trained.params, seen[best - 1]
    )


def test_each_member_stops_and_keeps_its_best_epoch_by_itself(pair, monkeypatch, tmp_path):
    nll = [[2.0, 2.0], [5.0, 4.0, 3.0, 3.5]]  # the earliest of equals
    trainer, seen = pair.scripted(monkeypatch, nll, patience=1, epochs=9)
    for _ in range(2):  # the second run only loads what the folder holds
        trained = trainer.run(pair.members, tmp_path, progress=False)
        assert [[r["valid_nll"] for r in member.history] for member in trained] == nll
        assert [member.best_epoch for member in trained] == [1, 3]
        for k, member in enumerate(trained):
            jax.tree.map(
                lambda a, b, k=k: np.testing.assert_array_equal(a, b[k]),
                member.params,
                seen[member.best_epoch - 1],
            )
    assert len(seen) == 4


def test_what_becomes_of_a_stopped_member_does_not_matter(pair, monkeypatch):
    def breaking(number, state):
        if number != 7:  # the first step of the third epoch
            return state
        params, average = (
            jax.tree.map(lambda x: x.at[0].set(jnp.nan), x) for x in (state.params, state.average)
        )
        return state.replace(params=params, average=average)

    trainer, _ = pair.scripted(monkeypatch, [[1.0, 2.0], [3.0, 2.0, 1.0]], patience=1, epochs=3)
    trainer.programs = pair.after_steps(breaking).programs
    trained = trainer.run(pair.members, progress=False)
    assert [len(member.history) for member in trained] == [2, 3]
    assert all(np.isfinite(x).all() for member in trained for x in jax.tree.leaves(member.params))
