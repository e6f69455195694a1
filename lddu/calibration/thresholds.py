"""Decision thresholds with the highest F1 or the lowest cost on validation data, exactly.

A label is predicted where `probs >= threshold` (`lddu.metrics.threshold`). A score changes only
where a threshold passes a probability, so it is enough to try one cut between each pair of
neighbouring distinct probabilities. A threshold lies midway between its neighbours (the lowest,
which predicts everything, halfway from the smallest probability to 0), so that rounding does not
flip decisions. Among equally good cuts the middle one is taken, the higher of two.

Labels may be soft, unknown (NaN) or weighted by row: counts are sums of weights, and entries that
are unknown or weigh nothing do not take part.
"""

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration import inputs
from lddu.metrics import checks
from lddu.names import named

# Sums of weights and costs are off by rounding errors; scores this close, relatively, are equal.
_ROUNDING = 1e-12


@named
def fit_shared(
    probs: ArrayLike,
    labels: ArrayLike,
    fallback: float = 0.5,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """Fits one threshold for all labels, the one with the highest micro-F1.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in [0, 1]; NaN where unknown. A soft label y counts as present with
        weight y and as absent with weight 1 - y.
      fallback: Threshold to return if there are no positives, in [0, 1].
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      A () float64 array in [0, 1].

    Raises:
      ValueError: If shapes differ, values are NaN or out of range, or no label is known.

    Example:
      >>> from lddu import calibration
      >>> probs, labels = [[0.75, 0.5], [0.25, 0.0]], [[1, 1], [0, 0]]
      >>> float(calibration.thresholds.fit_shared(probs, labels))
      0.375
    """
    checks.unit_interval("fallback", fallback)
    data = inputs.scored_data(probs, labels, weights, per_label=False)
    return np.asarray(_best_f1(*(x.ravel() for x in data), 0.0, fallback))


@named(returns="labels")
def fit_per_label(
    probs: ArrayLike,
    labels: ArrayLike,
    min_positives: float = 0.0,
    fallback: float = 0.5,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """Fits one threshold per label, the one with the highest F1 of that label.

    Together they maximise macro-F1. They are noisy for labels with few positives: raise
    `min_positives` and pass the shared threshold as `fallback`.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in [0, 1]; NaN where unknown. A soft label y counts as present with
        weight y and as absent with weight 1 - y.
      min_positives: Smallest number of positives (with weights, their sum) to fit a threshold on,
        at least 0.
      fallback: Threshold of labels with fewer positives, with none, or without a known entry, in
        [0, 1].
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If shapes differ, values are NaN or out of range, no label is known, or
        `min_positives` is negative.

    Warns:
      UnknownLabelWarning: If a label has no known entry.

    Example:
      >>> from lddu import calibration
      >>> probs, labels = [[0.75, 0.5], [0.25, 0.0]], [[1, 1], [0, 0]]
      >>> calibration.thresholds.fit_per_label(probs, labels).tolist()
      [0.5, 0.25]
    """
    if not min_positives >= 0:
        raise ValueError(f"min_positives={min_positives} must be at least 0")
    checks.unit_interval("fallback", fallback)
    data = inputs.scored_data(probs, labels, weights, per_label=True)
    columns = zip(*(x.T for x in data), strict=True)
    return np.array([_best_f1(*column, min_positives, fallback) for column in columns])


@named(returns="labels")
def cost_threshold(false_positive_cost: ArrayLike, false_negative_cost: ArrayLike) -> np.ndarray:
    """Returns the threshold with the least expected cost for calibrated probabilities.

    Predicting a label costs (1 - p) false_positive_cost on average, leaving it out
    p false_negative_cost; they are equal at p = fp / (fp + fn), which needs no data.

    Args:
      false_positive_cost: Scalar or (C,) cost of predicting a label that is absent, >= 0.
      false_negative_cost: Scalar or (C,) cost of missing a label that is present, >= 0.

    Returns:
      () or (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If costs are negative, infinite, both 0, or of shapes that do not fit together.

    References:
      Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.

    Example:
      >>> from lddu import calibration
      >>> float(calibration.thresholds.cost_threshold(1.0, 3.0))
      0.25
    """
    wrong, missed = _costs(false_positive_cost, false_negative_cost)
    return wrong / (wrong + missed)


@named(returns="labels")
def fit_cost(
    probs: ArrayLike,
    labels: ArrayLike,
    false_positive_cost: ArrayLike = 1.0,
    false_negative_cost: ArrayLike = 1.0,
    per_label: bool = False,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """Fits the thresholds with the least total cost on validation data.

    They do not need calibrated probabilities, but are noisy where there are few positives; with
    calibrated probabilities `cost_threshold` is the steadier choice.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in [0, 1]; NaN where unknown. A soft label y counts as present with
        weight y and as absent with weight 1 - y.
      false_positive_cost: Scalar or (C,) cost of predicting a label that is absent, >= 0.
      false_negative_cost: Scalar or (C,) cost of missing a label that is present, >= 0.
      per_label: Whether each label gets a threshold of its own; otherwise all share one.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      () or, per label, (C,) float64 thresholds. A threshold that predicts nothing lies midway
      between the largest probability and 1, or at 1.5 where that probability is 1; all others are
      in [0, 1]. A label without a known entry has that of `cost_threshold`: 0.5 for equal costs.

    Raises:
      ValueError: If shapes do not fit, values are NaN or out of range, no label is known, or costs
        are negative, infinite or both 0.

    Warns:
      UnknownLabelWarning: If, per label, a label has no known entry.
    """
    probs, labels, entries = inputs.scored_data(probs, labels, weights, per_label)
    wrong, missed = _costs(false_positive_cost, false_negative_cost)
    if wrong.shape not in ((), probs.shape[1:]):
        raise ValueError(
            f"costs have shape {wrong.shape}, must be scalars or one per label {probs.shape[1:]}"
        )
    saved = entries * (labels * missed - (1 - labels) * wrong)  # by predicting an entry
    if not per_label:
        return np.asarray(_least_cost(*(x.ravel() for x in (probs, saved, entries))))
    fitted = np.array(np.broadcast_to(wrong / (wrong + missed), probs.shape[1:]))
    for c in np.flatnonzero(entries.any(axis=0)):
        fitted[c] = _least_cost(probs[:, c], saved[:, c], entries[:, c])
    return fitted


def _costs(wrong: ArrayLike, missed: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    named = {"false_positive_cost": wrong, "false_negative_cost": missed}
    for name, cost in named.items():
        if np.ndim(cost) > 1 or np.size(cost) == 0 or checks.finite(name, cost).min() < 0:
            raise ValueError(
                f"{name} {np.shape(cost)} must be a scalar or one per label, (C,), and >= 0"
            )
    try:
        wrong, missed = np.broadcast_arrays(*(np.asarray(c, np.float64) for c in named.values()))
    except ValueError as error:
        raise ValueError(
            f"shapes differ: false_positive_cost {np.shape(wrong)}, false_negative_cost "
            f"{np.shape(missed)}; give scalars or one per label"
        ) from error
    if np.any(wrong + missed == 0):
        raise ValueError(
            "false_positive_cost and false_negative_cost are both 0, so every threshold costs the "
            "same; raise one of them"
        )
    return wrong, missed


def _best_f1(
    probs: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    min_positives: float,
    fallback: float,
) -> float:
    """Returns the F1-optimal threshold of (N,) entries, or `fallback` with too few positives."""
    hits, predicted, probs = _cumulated(probs, weights, weights * labels, weights)
    if hits[-1] == 0 or hits[-1] < min_positives:
        return fallback
    # Predicting nothing has an F1 of 0 and is never the best.
    return _middle_of_best(probs, 2 * hits / (predicted + hits[-1]), _ROUNDING)


def _least_cost(probs: np.ndarray, saved: np.ndarray, weights: np.ndarray) -> float:
    """Returns the threshold of (N,) entries that saves most, by what predicting each saves."""
    score, probs = _cumulated(probs, weights, saved)
    return _middle_of_best(probs, score, _ROUNDING * np.abs(saved).sum())


def _cumulated(probs: np.ndarray, weights: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """Returns (K + 1,) sums of values over the 0, 1, ... K highest, and the (K,) falling probs.

    The K entries are those of positive weight.
    """
    order = np.flatnonzero(weights)
    order = order[np.argsort(-probs[order], kind="stable")]
    return [*(np.append(0.0, np.cumsum(x[order])) for x in values), probs[order]]


def _middle_of_best(probs: np.ndarray, score: np.ndarray, noise: float) -> float:
    """Returns the threshold of the best cut, the middle one of those within the noise.

    Args:
      probs: (K,) falling probabilities.
      score: (K + 1,) scores of predicting the 0, 1, ... K highest.
      noise: By how much equally good scores may differ.
    """
    upper = np.append(1.0 if probs[0] < 1 else 2.0, probs)
    lower = np.append(probs, 0.0)
    cut = upper != lower  # no threshold can separate ties
    cut[-1] = True
    tied = np.cumsum(cut & (score >= score[cut].max() - noise))
    chosen = np.argmax(tied >= (tied[-1] + 1) // 2)
    middle = (upper[chosen] + lower[chosen]) / 2
    # Between two neighbouring floats there is no middle: rounding could give the lower one.
    return middle if middle > lower[chosen] else upper[chosen]
