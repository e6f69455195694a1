"""How the members of an ensemble are trained: as asked, as they began, as the machine suits."""

import jax
import pytest

from lddu import config
from lddu.training.members import trains_together

CONFIG = config.tiny({"x": (3, 4)}, ["a"])


def asked(choice, members=2):
    changes = {"execution.parallel_members": choice, "train.members": members}
    return config.replace(CONFIG, changes)


@pytest.mark.parametrize(
    ("choice", "members", "backend", "together"),
    [
        ("always", 1, "cpu", True),
        ("never", 5, "gpu", False),
        ("auto", 5, "gpu", True),
        ("auto", 5, "tpu", True),
        ("auto", 1, "gpu", False),
        ("auto", 5, "cpu", False),
    ],
)
def test_as_asked_or_as_the_machine_suits(monkeypatch, choice, members, backend, together):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert trains_together(asked(choice, members)) is together


def test_several_processes_train_one_member_after_the_other(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert trains_together(asked("auto", 5)) is False


@pytest.mark.parametrize(
    ("began", "together", "other"), [("members", True, "never"), ("member-0", False, "always")]
)
def test_a_run_continues_as_it_began_or_is_refused(monkeypatch, tmp_path, began, together, other):
    (tmp_path / began).mkdir()
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert trains_together(asked("auto"), tmp_path) is together
    with pytest.raises(ValueError, match=f"parallel_members='{other}'; set it to 'auto'"):
        trains_together(asked(other), tmp_path)
