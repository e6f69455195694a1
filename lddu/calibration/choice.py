"""Choice of a calibrator by cross-validation."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from lddu.calibration import inputs
from lddu.calibration.calibrators import CALIBRATORS, Calibrator, apply
from lddu.metrics import checks
from lddu.metrics.calibration import CLIP
from lddu.names import named

ArrayLike = jax.typing.ArrayLike
_LARGEST = math.log1p(-CLIP) - math.log(CLIP)


class Score(NamedTuple):
    """The score of one candidate on rows that it was not fitted on.

    Attributes:
      name: Name of the candidate.
      nll: Weighted mean of the negative log-likelihood over known entries in nats, as
        `lddu.metrics.nll`; lower is better.
      standard_error: Standard error of `nll`.
      excess: `nll` minus that of the best candidate; 0 for the best.
      excess_error: Standard error of `excess`. The difference is taken row by row, which makes it
        far less noisy than `nll` itself.
    """

    name: str
    nll: float
    standard_error: float
    excess: float
    excess_error: float


class Choice(NamedTuple):
    """The chosen calibrator.

    Attributes:
      name: Name of the chosen candidate.
      state: The calibrator, fitted on all rows; use it with `lddu.calibration.apply`.
      scores: One `Score` per candidate, in the order of the candidates.
    """

    name: str
    state: Calibrator
    scores: tuple[Score, ...]


@named(returns="state")
def choose(
    logits: ArrayLike,
    labels: ArrayLike,
    candidates: Sequence[str] | Mapping[str, Callable[..., Calibrator]] = tuple(CALIBRATORS),
    folds: int = 5,
    groups: ArrayLike | None = None,
    seed: int = 0,
    weights: ArrayLike | None = None,
) -> Choice:
    """Chooses the simplest calibrator that is best, within the noise, in cross-validation.

    Every row is scored by each candidate as fitted without the fold of that row. The candidate with
    the lowest mean negative log-likelihood, over known labels and weighted by row, is the best.
    Chosen is the first candidate whose mean exceeds that of the best by no more than the standard
    error of the difference. The standard error treats groups, not rows, as independent. It ignores
    that folds share the rows they are fitted on.

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown. Where a label has no known
        entry outside of a fold, candidates score that fold by what they do to such a label.
      candidates: Names from `CALIBRATORS`, or a mapping from names to
        `fit(logits, labels, weights=...)` functions of this package, such as
        `functools.partial(fit_matrix, off_diagonal=100.0)`; the simplest first. Rows of the fold to
        score get a weight of 0, so that one compilation serves all folds.
      folds: Number of folds, at least 2.
      groups: (N,) group of each row; rows of one group, such as windows of one film, stay in one
        fold. None makes every row a group of its own.
      seed: Seed of the assignment to folds, which balances their weights of known labels.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally. A row that weighs
        nothing, or has no known label, is left out.

    Returns:
      A `Choice`.

    Raises:
      ValueError: If shapes do not fit, values are NaN, infinite or out of range, a candidate is
        unknown, no label is known, or there are fewer groups with known labels than folds.

    Warns:
      UnknownLabelWarning: If a label has no known entry.

    References:
      Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd ed., 2009,
      section 7.10 (the one-standard-error rule; theirs is the standard error of the best mean).

    Example:
      >>> import numpy as np
      >>> from lddu import calibration
      >>> logits = np.tile([[-3.0], [-3.0], [-3.0], [3.0], [3.0], [3.0]], (20, 1))
      >>> labels = np.tile([[0], [0], [1], [0], [1], [1]], (20, 1))  # too confident
      >>> calibration.choose(logits, labels, ["none", "temperature"], folds=2).name
      'temperature'
    """
    fits = _fits(candidates)
    data = inputs.fitting_data(logits, labels, weights)
    counted = np.asarray(data[2]).any(axis=1)
    logits, labels, entries = (np.asarray(x)[counted] for x in data)
    unit = _units(groups, counted, folds)
    weight = entries.sum(axis=1, dtype=np.float64)
    fold = assign_folds(unit, weight, folds, seed)
    given, row = np.where(entries > 0, labels, np.nan), entries.max(axis=1)

    def fitted(name: str, rows: np.ndarray) -> Calibrator:
        return fits[name](logits, given, weights=row * rows)

    losses = {name: np.empty(len(logits)) for name in fits}
    with inputs.quiet():
        for k in range(folds):
            held_out = fold == k
            for name, loss in losses.items():
                calibrated = apply(fitted(name, ~held_out), logits)
                loss[held_out] = _row_loss(calibrated, labels, entries)[held_out]
        best = min(losses.values(), key=np.sum)
        scores = tuple(
            Score(name, *_mean(loss, weight, unit), *_mean(loss - best, weight, unit))
            for name, loss in losses.items()
        )
        chosen = next(s.name for s in scores if s.excess <= s.excess_error)
        return Choice(chosen, fitted(chosen, np.ones_like(fold)), scores)


def _fits(candidates) -> dict[str, Callable[..., Calibrator]]:
    if not isinstance(candidates, Mapping):
        unknown = [name for name in candidates if name not in CALIBRATORS]
        if unknown:
            raise ValueError(
                f"candidates contains {unknown[0]!r}; choose from "
                f"{', '.join(map(repr, CALIBRATORS))} or pass a mapping from names to fit functions"
            )
        candidates = {name: CALIBRATORS[name] for name in candidates}
    if not candidates:
        raise ValueError("candidates is empty; name at least one calibrator")
    return dict(candidates)


def _units(groups: ArrayLike | None, counted: np.ndarray, folds: int) -> np.ndarray:
    """Returns the group of each row that counts as a number counted from 0."""
    unit = checks.groups(groups, len(counted))[counted]
    unit = np.unique(unit, return_inverse=True)[1]
    if not 2 <= folds <= unit.max() + 1:
        raise ValueError(
            f"folds={folds} must be at least 2 and at most the number of independent groups (rows "
            f"where groups=None) with known labels, {unit.max() + 1}"
        )
    return unit


def assign_folds(unit: np.ndarray, weight: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Divides groups of rows into folds of about equal weight.

    Args:
      unit: (N,) group of each row, counted from 0.
      weight: (N,) weight of each row.
      folds: Number of folds.
      seed: Seed of the order of equally heavy groups.

    Returns:
      (N,) fold of each row: groups, the heaviest first, go to the lightest fold.
    """
    sizes = np.bincount(unit, weight)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold = np.zeros(folds), np.empty(len(sizes), int)
    for group in order:
        fold[group] = np.argmin(load)
        load[fold[group]] += sizes[group]
    return fold[unit]


def _row_loss(logits: ArrayLike, labels: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Returns the (N,) negative log-likelihood of each row, summed over weighted entries."""
    logits = np.clip(np.asarray(logits, np.float64), -_LARGEST, _LARGEST)
    return np.sum(entries * (np.logaddexp(0, logits) - labels * logits), axis=1)


def _mean(loss: np.ndarray, weight: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """Returns the sum of losses per weight, and its standard error over independent groups."""
    mean = loss.sum() / weight.sum()
    sums = np.bincount(unit, loss - mean * weight)
    groups = len(sums)
    error = np.sqrt(groups / (groups - 1) * np.sum(np.square(sums))) / weight.sum()
    return float(mean), float(error)
