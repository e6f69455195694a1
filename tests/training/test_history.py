import math

import numpy as np
import pytest

from lddu.config import TrainConfig
from lddu.training.history import History, epoch_means


def record(member, epoch, nll=1.0, f1=0.5, **more):
    return {"member": member, "epoch": epoch, "valid_nll": nll, "valid_micro_f1": f1, **more}


def history(scores, members=None, **config):
    """A history with the scores (nll or (nll, f1)) of each member, epoch by epoch."""
    found = History(members or range(len(scores)), TrainConfig(**config))
    while running := found.running():
        epoch = found.epoch + 1
        for k in running:
            if epoch > len(scores[k]):
                return found
            found.add(record(k, epoch, *np.atleast_1d(scores[k][epoch - 1]).tolist()))
    return found


def test_an_empty_history():
    empty = History([0, 1], TrainConfig(epochs=3))
    assert empty.epoch == 0
    assert empty.records == []
    assert empty.running() == [0, 1]


def test_records_are_kept_in_order_and_by_member():
    both = history([[1.0, 2.0], [3.0, 4.0]], members=[0, 1], epochs=2, patience=0)
    assert [(r["epoch"], r["member"]) for r in both.records] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert [r["valid_nll"] for r in both.of(1)] == [3.0, 4.0]
    assert both.epoch == 2
    assert both.running() == []


@pytest.mark.parametrize(
    ("monitor", "scores", "epoch"),
    [
        ("nll", [3.0, 1.0, 2.0], 2),
        ("nll", [2.0, 2.0], 1),
        ("micro_f1", [(3.0, 0.1), (1.0, 0.2), (2.0, 0.9)], 3),
        ("micro_f1", [(1.0, 0.5), (0.5, 0.5)], 1),
    ],
)
def test_the_best_epoch_by_the_monitored_score_is_the_first_of_equals(monitor, scores, epoch):
    found = history([scores], epochs=len(scores), patience=0, monitor=monitor)
    assert found.best(0)["epoch"] == epoch


def test_best_marks_the_epochs_that_were_the_best_so_far():
    found = history([[3.0, 4.0, 1.0, 1.0], [2.0, 1.0, 5.0, 6.0]], epochs=4, patience=0)
    assert [r["best"] for r in found.of(0)] == [True, False, True, False]
    assert [r["best"] for r in found.of(1)] == [True, True, False, False]
    assert found.last_best == 3


@pytest.mark.parametrize(
    ("patience", "scores", "epochs"),
    [
        (1, [2.0, 3.0, 1.0], 2),
        (2, [3.0, 2.0, 2.5, 1.0, 1.5, 2.0, 0.0], 6),
        (2, [2.0, 2.0, 2.0, 1.0], 3),
        (0, [1.0, 2.0, 3.0, 4.0], 4),
    ],
)
def test_a_member_stops_after_its_patience(patience, scores, epochs):
    found = history([scores], epochs=len(scores), patience=patience)
    assert len(found.of(0)) == epochs
    assert found.running() == []


def test_members_stop_one_by_one():
    found = history([[1.0, 2.0], [2.0, 1.0, 0.5]], epochs=9, patience=1)
    assert found.running() == [1]
    assert [len(found.of(k)) for k in (0, 1)] == [2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_an_error_that_says_where(value):
    found = history([[1.0]], epochs=5)
    with pytest.raises(FloatingPointError, match=r"member 0 is not finite in epoch 2 \(train_kl="):
        found.add(record(0, 2, train_kl=value))
    assert found.epoch == 1


def test_a_history_continues_from_its_records():
    found = history([[3.0, 2.0], [1.0, 2.0]], epochs=4, patience=2)
    again = History([0, 1], TrainConfig(epochs=4, patience=2), found.records)
    assert again.records == found.records
    assert (again.epoch, again.last_best) == (2, 2)
    assert again.running() == found.running()


def test_a_last_epoch_that_lacks_members_is_left_out():
    config = TrainConfig(epochs=9, patience=0)
    records = history([[3.0, 2.0], [1.0, 2.0]], epochs=9, patience=0).records
    torn = History([0, 1], config, records[:-1])
    assert torn.records == records[:2]
    assert History([0, 1], config, records[:1]).records == []


def test_a_last_epoch_without_stopped_members_is_complete():
    config = {"epochs": 9, "patience": 1}
    records = history([[1.0, 2.0], [3.0, 2.0, 1.0]], **config).records
    assert [r["member"] for r in records] == [0, 1, 0, 1, 1]
    assert History([0, 1], TrainConfig(**config), records).records == records


def test_epoch_means_weigh_steps():
    single = {"weight": np.array([8, 4]), "nll": np.array([1.0, 2.0])}
    several = {"weight": np.array([[1, 1], [4, 8]]), "nll": np.array([[7.0, 7.0], [1.0, 3.5]])}
    assert epoch_means([single, several]) == [{"train_nll": 2.2}, {"train_nll": 2.5}]
