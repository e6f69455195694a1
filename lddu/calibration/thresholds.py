"""Decision thresholds with the highest F1 or the lowest cost on validation data, exactly.

A label is predicted where `probs >= threshold` (`lddu.metrics.threshold`). A score changes only
where a threshold passes a probability, so it is enough to try one cut between each pair of
neighbouring distinct probabilities. A threshold lies midway between its neighbours (the lowest,
which predicts everything, halfway from the smallest probability to 0), so that rounding does not
flip decisions. Among equally good cuts the middle one is taken, the higher of two.
"""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named


@named
def fit_shared(probs: ArrayLike, labels: ArrayLike, fallback: float = 0.5) -> np.ndarray:
    """Fits one threshold for all labels, the one with the highest micro-F1.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      fallback: Threshold to return if there are no positives, in [0, 1].

    Returns:
      A () float64 array in [0, 1].

    Raises:
      ValueError: If shapes differ or values are NaN, out of range or soft labels.

    Example:
      >>> from lddu import calibration
      >>> probs, labels = [[0.75, 0.5], [0.25, 0.0]], [[1, 1], [0, 0]]
      >>> float(calibration.thresholds.fit_shared(probs, labels))
      0.375
    """
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    threshold = _best_cuts(probs.reshape(-1, 1), labels.reshape(-1, 1))
    return np.where(labels.any(), threshold[0], fallback)


@named(returns="labels")
def fit_per_label(
    probs: ArrayLike, labels: ArrayLike, min_positives: int = 1, fallback: float = 0.5
) -> np.ndarray:
    """Fits one threshold per label, the one with the highest F1 of that label.

    Together they maximise macro-F1. They are noisy for labels with few positives: raise
    `min_positives` and pass the shared threshold as `fallback`.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      min_positives: Smallest number of positives to fit a threshold on, at least 1.
      fallback: Threshold of labels with fewer positives, in [0, 1].

    Returns:
      (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If shapes differ, values are NaN, out of range or soft labels, or `min_positives`
        is below 1.

    Example:
      >>> from lddu import calibration
      >>> probs, labels = [[0.75, 0.5], [0.25, 0.0]], [[1, 1], [0, 0]]
      >>> calibration.thresholds.fit_per_label(probs, labels).tolist()
      [0.5, 0.25]
    """
    checks.at_least_one("min_positives", min_positives)
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    enough = labels.sum(0) >= min_positives
    return np.where(enough, _best_cuts(probs, labels), fallback)


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
) -> np.ndarray:
    """Fits the thresholds with the least total cost on validation data.

    They do not need calibrated probabilities, but are noisy where there are few positives; with
    calibrated probabilities `cost_threshold` is the steadier choice.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      false_positive_cost: Scalar or (C,) cost of predicting a label that is absent, >= 0.
      false_negative_cost: Scalar or (C,) cost of missing a label that is present, >= 0.
      per_label: Whether each label gets a threshold of its own; otherwise all share one.

    Returns:
      () or, per label, (C,) float64 thresholds. A threshold that predicts nothing lies midway
      between the largest probability and 1, or at 1.5 where that probability is 1; all others are
      in [0, 1].

    Raises:
      ValueError: If shapes do not fit, values are NaN, out of range or soft labels, or costs are
        negative, infinite or both 0.
    """
    probs, labels = checks.probs_and_labels(probs, labels)
    wrong, missed = _costs(false_positive_cost, false_negative_cost)
    if wrong.shape not in ((), probs.shape[1:]):
        raise ValueError(
            f"costs have shape {wrong.shape}, must be scalars or one per label {probs.shape[1:]}"
        )
    change = np.where(labels, -missed, wrong)  # of the cost, by predicting an entry
    if not per_label:
        probs, change = probs.reshape(-1, 1), change.reshape(-1, 1)
    order = np.argsort(-probs, axis=0)
    saved = -np.cumsum(np.take_along_axis(change, order, axis=0), axis=0)
    # Costs are sums of floats: equal ones may differ in their last digits.
    noise = 1e-12 * np.abs(change).sum(0)
    thresholds = _middle_of_best(probs, order, np.pad(saved, ((1, 0), (0, 0))), noise)
    return thresholds if per_label else thresholds[0]


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


def _best_cuts(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns (C,) F1-optimal thresholds of (N, C) columns; arbitrary without positives."""
    order = np.argsort(-probs, axis=0)
    hits = np.cumsum(np.take_along_axis(labels, order, axis=0), axis=0)
    hits = np.pad(hits, ((1, 0), (0, 0)))
    predicted = np.arange(len(probs) + 1)[:, None]
    # Equal fractions are equal floats, so ties between cuts are exact. Predicting nothing has an F1
    # of 0 and is never the best.
    return _middle_of_best(probs, order, 2 * hits / np.maximum(predicted + hits[-1], 1))


def _middle_of_best(
    probs: np.ndarray, order: np.ndarray, score: np.ndarray, noise: ArrayLike = 0.0
) -> np.ndarray:
    """Returns (C,) thresholds, given (N + 1, C) scores of predicting the 0, 1, ... N highest."""
    probs = np.take_along_axis(probs, order, axis=0)
    above = np.where(probs[:1] < 1, 1.0, 2.0)
    upper = np.concatenate([above, probs])
    lower = np.concatenate([probs, np.zeros_like(probs[:1])])
    cut = upper != lower  # no threshold can separate ties
    cut[-1] = True
    score = np.where(cut, score, -np.inf)
    tied = np.cumsum(score >= score.max(0) - noise, axis=0)
    chosen = np.argmax(tied >= (tied[-1] + 1) // 2, axis=0)[None]
    upper = np.take_along_axis(upper, chosen, axis=0)[0]
    lower = np.take_along_axis(lower, chosen, axis=0)[0]
    middle = (upper + lower) / 2
    # Between two neighbouring floats there is no middle: rounding could give the lower one.
    return np.where(middle > lower, middle, upper)
