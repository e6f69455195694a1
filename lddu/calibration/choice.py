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
      nll: Mean negative log-likelihood per entry in nats, as `lddu.metrics.nll`; lower is better.
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
) -> Choice:
    """Chooses the simplest calibrator that is best, within the noise, in cross-validation.

    Every row is scored by each candidate as fitted without the fold of that row. The candidate with
    the lowest mean negative log-likelihood is the best. Chosen is the first candidate whose mean
    exceeds that of the best by no more than the standard error of the difference. The standard
    error treats groups, not rows, as independent. It ignores that folds share the rows they are
    fitted on.

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities.
      labels: (N, C) labels in [0, 1], hard or soft.
      candidates: Names from `CALIBRATORS`, or a mapping from names to
        `fit(logits, labels, weights=...)` functions of this package, such as
        `functools.partial(fit_matrix, off_diagonal=100.0)`; the simplest first. Rows of the fold to
        score get a weight of 0, so that one compilation serves all folds.
      folds: Number of folds, at least 2.
      groups: (N,) group of each row; rows of one group, such as windows of one film, stay in one
        fold. None makes every row a group of its own.
      seed: Seed of the assignment to folds.

    Returns:
      A `Choice`.

    Raises:
      ValueError: If shapes do not fit, values are NaN, infinite or out of range, a candidate is
        unknown, or there are fewer groups than folds.

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
    logits, labels, _ = inputs.fitting_data(logits, labels)
    unit = _units(groups, len(logits), folds)
    fold = _folds(unit, folds, seed)
    losses = {name: np.empty(len(logits)) for name in fits}
    for k in range(folds):
        held_out = fold == k
        for name, fit in fits.items():
            calibrated = apply(fit(logits, labels, weights=~held_out), logits)
            losses[name][held_out] = _row_nll(calibrated, labels)[held_out]
    best = min(losses.values(), key=np.mean)
    scores = tuple(
        Score(
            name,
            float(loss.mean()),
            _standard_error(loss, unit),
            float(np.mean(loss - best)),
            _standard_error(loss - best, unit),
        )
        for name, loss in losses.items()
    )
    chosen = next(s.name for s in scores if s.excess <= s.excess_error)
    return Choice(chosen, fits[chosen](logits, labels), scores)


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


def _units(groups: ArrayLike | None, rows: int, folds: int) -> np.ndarray:
    """Returns the (N,) group of each row as a number counted from 0."""
    unit = checks.groups(groups, rows)
    if not 2 <= folds <= unit.max() + 1:
        raise ValueError(
            f"folds={folds} must be at least 2 and at most the number of independent groups (rows "
            f"where groups=None), {unit.max() + 1}"
        )
    return unit


def _folds(unit: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Returns the (N,) fold of each row: groups, largest first, go to the fold with fewest rows."""
    sizes = np.bincount(unit)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold = np.zeros(folds), np.empty(len(sizes), int)
    for group in order:
        fold[group] = np.argmin(load)
        load[fold[group]] += sizes[group]
    return fold[unit]


def _row_nll(logits: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Returns the (N,) `lddu.metrics.nll` of each row, from logits."""
    logits = np.clip(np.asarray(logits, np.float64), -_LARGEST, _LARGEST)
    return np.mean(np.logaddexp(0, logits) - labels * logits, axis=1)


def _standard_error(loss: np.ndarray, unit: np.ndarray) -> float:
    """Returns the standard error of the mean over rows, with groups as the independent units."""
    sums = np.bincount(unit, loss - loss.mean())
    groups = len(sums)
    return float(np.sqrt(groups / (groups - 1) * np.sum(np.square(sums))) / len(loss))
