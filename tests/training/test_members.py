"""Members of an ensemble at the same time, or one after the other."""

import json

import jax
import numpy as np
import pytest

from lddu import config
from lddu.predictor.fitting import train_only
from lddu.training import members
from lddu.training.members import train_members, trains_together


@pytest.mark.parametrize(
    ("choice", "count", "backend", "folder", "together"),
    [
        ("auto", 2, "gpu", None, True),
        ("auto", 1, "gpu", None, False),
        ("auto", 2, "cpu", None, False),
        ("always", 1, "cpu", None, True),
        ("never", 2, "gpu", None, False),
        ("always", 2, "cpu", "members", True),
        ("never", 2, "gpu", "member-0", False),
        ("auto", 2, "gpu", "member-0", False),  # continues as it began
        ("auto", 2, "cpu", "members", True),
    ],
)
def test_when_members_train_together(
    base_config, monkeypatch, tmp_path, choice, count, backend, folder, together
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    changes = {"execution.parallel_members": choice, "train.members": count}
    changed = config.replace(base_config, changes)
    if folder:
        (tmp_path / folder).mkdir()
    else:
        assert trains_together(changed) is together
    assert trains_together(changed, tmp_path) is together


@pytest.mark.parametrize(
    ("choice", "folder", "way"),
    [("never", "members", "at the same time"), ("always", "member-0", "one after the other")],
)
def test_a_folder_that_began_the_other_way_is_refused(
    base_config, data, tmp_path, choice, folder, way
):
    (tmp_path / folder).mkdir()
    changed = config.replace(base_config, {"execution.parallel_members": choice})
    message = f"{tmp_path}.* trained {way}, but execution.parallel_members='{choice}'.*'auto'"
    for call in (
        lambda: trains_together(changed, tmp_path),
        lambda: train_members(changed, *data, tmp_path, progress=False),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def patched(monkeypatch, case):
    """Has `train_members` take the trainer of a case; returns the arguments that it gives."""
    given = []

    def trainer(*args, **kwargs):
        given.append(kwargs)
        return case.trainer

    monkeypatch.setattr(members, "Trainer", trainer)
    return given


@pytest.mark.parametrize("choice", ["never", "always"])
def test_members_have_folders_of_their_group(
    base_config, data, alone, pair, same, monkeypatch, tmp_path, choice
):
    given = patched(monkeypatch, pair if choice == "always" else alone)
    changed = config.replace(base_config, {"execution.parallel_members": choice})
    noted = []

    def note(used):
        assert not any(tmp_path.iterdir())  # before the first step
        noted.append(used)

    trained, normalizer = train_members(changed, *data, tmp_path, progress=False, note=note)
    assert normalizer is alone.trainer.normalizer or normalizer is pair.trainer.normalizer
    assert [t.history[0]["member"] for t in trained] == [0, 1]
    folders = sorted(path.name for path in tmp_path.iterdir())
    if choice == "always":
        same(trained, pair.trained)
        assert given == [{"together": 2}]
        assert folders == ["members"]
    else:
        same(trained[:1], alone.trained)
        assert given == [{}]
        assert folders == ["member-0", "member-1"]
    together = 2 if choice == "always" else 1
    assert noted == [{"devices": 1, "processes": 1, "members_together": together}]


def test_without_a_folder_nothing_is_kept(base_config, data, alone, monkeypatch, tmp_path, same):
    patched(monkeypatch, alone)
    monkeypatch.chdir(tmp_path)
    trained, _ = train_members(base_config, *data, progress=False)
    same(trained[:1], alone.trained)
    assert not any(tmp_path.iterdir())


def test_a_predictor_takes_members_that_trained_together(
    base_config, data, pair, monkeypatch, tmp_path
):
    patched(monkeypatch, pair)
    changed = config.replace(base_config, {"execution.parallel_members": "always"})
    predictor = train_only(changed, *data, folder=tmp_path, progress=False)
    want = jax.tree.map(lambda *x: np.stack(x), *(t.params for t in pair.trained))
    jax.tree.map(np.testing.assert_array_equal, predictor.params, want)
    assert [(r["member"], r["epoch"]) for r in predictor.history] == [
        (k, epoch) for k in (0, 1) for epoch in (1, 2)
    ]
    assert len((tmp_path / "members" / "metrics.jsonl").read_text().splitlines()) == 4
    (entry,) = json.loads((tmp_path / "execution.json").read_text())
    assert entry["used"]["members_together"] == 2
