"""Losses: pure functions on arrays, and the objective, their weighted sum."""

from lddu.losses.bank import Bank, empty_bank, enqueue
from lddu.losses.classification import binary_cross_entropy
from lddu.losses.contrastive import supervised_contrastive
from lddu.losses.objective import initial_bank, objective
from lddu.losses.spread import spread_calibration

__all__ = [
    "Bank",
    "binary_cross_entropy",
    "empty_bank",
    "enqueue",
    "initial_bank",
    "objective",
    "spread_calibration",
    "supervised_contrastive",
]
