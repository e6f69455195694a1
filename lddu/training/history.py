"""The epochs of a group of members: which was best, and who has stopped."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lddu.config import TrainConfig

Record = dict[str, Any]


class History:
    """The finished epochs of a group of members, one record per member and epoch.

    Attributes:
      records: Records in the order of epochs, each with "member", "epoch", "seconds",
        "train_<term>", "valid_nll", "valid_micro_f1" and "best".
    """

    def __init__(self, members: Sequence[int], config: TrainConfig, records: Iterable[Record] = ()):
        """Starts a history.

        Args:
          members: Numbers of the members.
          config: The configuration of training: monitored score and patience.
          records: Records of epochs that are already finished; a last epoch that lacks some of the
            members that took part in it is left out.
        """
        self._members, self._config = tuple(members), config
        self.records: list[Record] = []
        records = list(records)
        last = records[-1]["epoch"] if records else 0
        self.records += [record for record in records if record["epoch"] < last]
        newest = [record for record in records if record["epoch"] == last]
        if {record["member"] for record in newest} >= set(self.running()):
            self.records += newest

    @property
    def epoch(self) -> int:
        """The last finished epoch, counted from 1; 0 before the first."""
        return self.records[-1]["epoch"] if self.records else 0

    def of(self, member: int) -> list[Record]:
        """Returns the records of one member."""
        return [record for record in self.records if record["member"] == member]

    def best(self, member: int) -> Record:
        """Returns a member's best epoch by the monitored validation score; the first of equals."""
        records = self.of(member)
        if self._config.monitor == "micro_f1":
            return max(records, key=lambda r: r["valid_micro_f1"])
        return min(records, key=lambda r: r["valid_nll"])

    @property
    def last_best(self) -> int:
        """The last epoch that was the best so far for any member."""
        return max(record["epoch"] for record in self.records if record["best"])

    def running(self) -> list[int]:
        """Returns the members whose epochs are not yet all done and that have not stopped early."""
        if self.epoch >= self._config.epochs:
            return []
        return [k for k in self._members if not self._stopped(k)]

    def add(self, record: Record) -> None:
        """Adds a member's epoch and notes under "best" whether it is the best so far.

        Raises:
          FloatingPointError: If any number is NaN or infinite.
        """
        for name, value in record.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"training of member {record['member']} is not finite in epoch "
                    f"{record['epoch']} ({name}={value}); lower the learning rate or check the data"
                )
        self.records.append(record)
        record["best"] = self.best(record["member"]) is record

    def _stopped(self, member: int) -> bool:
        records, patience = self.of(member), self._config.patience
        if not records or not patience:
            return False
        return records[-1]["epoch"] - self.best(member)["epoch"] >= patience


def epoch_means(steps: Sequence[dict[str, np.ndarray]]) -> list[dict[str, float]]:
    """Averages what the steps of an epoch measured, each step by its weight.

    Args:
      steps: One dict per call: name -> (K,) for a single step of K members, or (K, steps). "weight"
        is the weight of each step: that of its rows, as far as their labels are known.

    Returns:
      K dicts: "train_<name>" -> mean.
    """
    joined = {
        name: np.concatenate([step[name].reshape(len(step[name]), -1) for step in steps], axis=1)
        for name in steps[0]
    }
    weights = joined.pop("weight").astype(np.float64)
    means = {f"train_{name}": np.average(x, axis=1, weights=weights) for name, x in joined.items()}
    return [{name: float(x[k]) for name, x in means.items()} for k in range(len(weights))]
