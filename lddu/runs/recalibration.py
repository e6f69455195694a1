"""Calibrating any model's probabilities, scored on rows that each fit has not seen."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from lddu import metrics
from lddu.calibration import CALIBRATORS, Calibrator, apply, choose, logit
from lddu.calibration.choice import assign_folds
from lddu.metrics import checks
from lddu.runs.probabilities import Probabilities

CHOOSE = "choose"


class Recalibration(NamedTuple):
    """A calibrator, and what it does to the scores.

    Attributes:
      method: Name of the calibrator in `CALIBRATORS`.
      state: The calibrator, fitted on all rows.
      before: Scores of the probabilities as they are.
      after: Scores of the probabilities of each row, calibrated by a fit without its fold.
    """

    method: str
    state: Calibrator
    before: dict[str, float]
    after: dict[str, float]


def recalibrate(
    table: Probabilities, method: str = CHOOSE, folds: int = 5, seed: int = 0
) -> Recalibration:
    """Fits a calibrator to a table of probabilities and labels.

    Args:
      table: Probabilities of any model, and labels; rows of a group stay in one fold.
      method: A name of `CALIBRATORS`, or "choose" for `lddu.calibration.choose`. Then the choice is
        made anew without each fold too, so that the scores after it count its luck.
      folds: Number of folds.
      seed: Seed of the folds.

    Returns:
      The calibrator and the scores before and after.

    Raises:
      ValueError: If the table has no labels, the method is unknown, or there are too few rows or
        groups for the folds.
    """
    if method != CHOOSE and method not in CALIBRATORS:
        raise ValueError(f"method={method!r}; choose one of {CHOOSE}, {', '.join(CALIBRATORS)}")
    labels, logits = table.labelled(), np.asarray(logit(table.probs))
    unit = checks.units(table.groups, len(labels), "cross-validation")
    if not 2 <= folds <= unit.max() + 1:
        raise ValueError(f"folds={folds} must be at least 2 and at most {unit.max() + 1} groups")
    fold = assign_folds(unit, checks.row_weights(table.weights, len(labels)), folds, seed)

    def fit(rows: np.ndarray) -> tuple[str, Calibrator]:
        weights = rows if table.weights is None else rows * table.weights
        if method != CHOOSE:
            return method, CALIBRATORS[method](logits, labels, weights=weights)
        groups = None if table.groups is None else table.groups[rows]
        inner = None if table.weights is None else table.weights[rows]
        choice = choose(
            logits[rows], labels[rows], folds=folds, groups=groups, seed=seed, weights=inner
        )
        return choice.name, choice.state

    crossed = np.empty_like(table.probs)
    for k in range(folds):
        _, state = fit(fold != k)
        crossed[fold == k] = expit(np.asarray(apply(state, logits), np.float64))[fold == k]
    name, state = fit(np.ones(len(labels), bool))
    before, after = (_scores(probs, table) for probs in (table.probs, crossed))
    return Recalibration(name, state, before, after)


def _scores(probs: np.ndarray, table: Probabilities) -> dict[str, float]:
    options = {"weights": table.weights}
    return {
        "nll": metrics.nll(probs, table.labels, **options),
        "brier": metrics.brier(probs, table.labels, **options),
        "ece": metrics.ece(probs, table.labels, **options),
    }
