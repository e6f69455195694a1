"""Best epochs, early stopping, and means over the steps of an epoch."""

import numpy as np
import pytest

from lddu.config import TrainConfig
from lddu.training.history import History, epoch_means


def record(epoch, nll, f1=0.5, member=0):
    return {"member": member, "epoch": epoch, "valid_nll": nll, "valid_micro_f1": f1}


def filled(scores, **options):
    history = History([0], TrainConfig(**options))
    for epoch, (nll, f1) in enumerate(scores, 1):
        history.add(record(epoch, nll, f1))
    return history


@pytest.mark.parametrize(("monitor", "best"), [("nll", 2), ("micro_f1", 3)])
def test_the_monitor_chooses_the_first_of_the_best(monitor, best):
    history = filled([(3.0, 0.1), (1.0, 0.2), (1.0, 0.3), (2.0, 0.3)], monitor=monitor)
    assert history.best(0)["epoch"] == history.last_best == best
    assert history.epoch == 4
    better = {"nll": [True, True, False, False], "micro_f1": [True, True, True, False]}
    assert [r["best"] for r in history.records] == better[monitor]


@pytest.mark.parametrize(("patience", "running"), [(0, [0]), (1, []), (2, []), (3, [0])])
def test_early_stopping(patience, running):
    history = filled([(1.0, 0.5), (2.0, 0.5), (2.0, 0.5)], patience=patience, epochs=9)
    assert history.running() == running


def test_a_run_ends_with_its_last_epoch():
    assert filled([(1.0, 0.5)] * 2, epochs=2, patience=0).running() == []
    assert History([0, 1], TrainConfig(epochs=2)).running() == [0, 1]


def test_members_are_apart():
    history = History([3, 5], TrainConfig(patience=1, epochs=9))
    for epoch, scores in enumerate([(1.0, 1.0), (2.0, 0.5)], 1):
        for member, nll in zip((3, 5), scores, strict=True):
            history.add(record(epoch, nll, member=member))
    assert history.running() == [5]
    assert [r["epoch"] for r in history.of(3)] == [1, 2]
    assert (history.best(3)["epoch"], history.best(5)["epoch"], history.last_best) == (1, 2, 2)
    again = History([3, 5], TrainConfig(patience=1, epochs=9), history.records)
    assert again.running() == [5]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error_that_names_member_and_epoch(value):
    history = History([1], TrainConfig())
    with pytest.raises(FloatingPointError, match=r"member 1 is not finite in epoch 2 \(valid_nll"):
        history.add(record(2, value, member=1))
    assert not history.records


def test_means_over_steps_are_weighted_by_rows():
    steps = [
        {"nll": np.array([[1.0, 2.0], [4.0, 4.0]]), "rows": np.array([[4, 4], [4, 4]])},
        {"nll": np.array([5.0, 1.0]), "rows": np.array([2, 2])},
    ]
    one, other = epoch_means(steps)
    assert one == {"train_nll": pytest.approx((4 * 1 + 4 * 2 + 2 * 5) / 10)}
    assert other == {"train_nll": pytest.approx((4 * 4 + 4 * 4 + 2 * 1) / 10)}
