"""Decision thresholds: for the highest F1 or the lowest cost, exact on validation data.

The rule is `probs >= threshold` everywhere (`lddu.metrics.threshold`). A score changes only where a
threshold passes a probability, so the cuts between neighbouring distinct probabilities are all
there is to try. A threshold lies midway between its neighbours (the lowest, which predicts
everything, halfway from the smallest probability to 0), so that rounding does not flip decisions.
Among equally good cuts the middle one is taken, the higher of two.
"""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks


def fit_shared(probs: ArrayLike, labels: ArrayLike, fallback: float = 0.5) -> np.ndarray:
    """One threshold for all labels, with the highest micro-F1 that any can reach.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      fallback: The threshold if there is no positive at all.

    Returns:
      A () float64 array in [0, 1].

    Raises:
      ValueError: If shapes differ or values are NaN, out of range or soft labels.
    """
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    threshold = _best_cuts(probs.reshape(-1, 1), labels.reshape(-1, 1))
    return np.where(labels.any(), threshold[0], fallback)


def fit_per_label(
    probs: ArrayLike, labels: ArrayLike, min_positives: int = 1, fallback: float = 0.5
) -> np.ndarray:
    """One threshold per label, each with the highest F1 of that label that any can reach.

    Macro-F1 is maximised with them. They are noisy for labels with few positives: raise
    `min_positives` and pass the shared threshold as `fallback`.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      min_positives: Labels with fewer positives take `fallback`; at least 1.
      fallback: Their threshold, in [0, 1].

    Returns:
      (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If shapes differ or values are NaN, out of range or soft labels.
    """
    if min_positives < 1:
        raise ValueError(
            f"min_positives={min_positives} is not at least 1: no threshold has an F1 without any"
        )
    checks.unit_interval("fallback", fallback)
    probs, labels = checks.probs_and_labels(probs, labels)
    enough = labels.sum(0) >= min_positives
    return np.where(enough, _best_cuts(probs, labels), fallback)


def cost_threshold(false_positive_cost: ArrayLike, false_negative_cost: ArrayLike) -> np.ndarray:
    """The threshold of least expected cost where probabilities are calibrated.

    Predicting a label costs (1 - p) false_positive_cost on average, leaving it out
    p false_negative_cost; they are equal at p = fp / (fp + fn), which needs no data.

    Args:
      false_positive_cost: Scalar or (C,), >= 0: cost of predicting a label that is absent.
      false_negative_cost: Scalar or (C,), >= 0: cost of missing a label that is present.

    Returns:
      () or (C,) float64 thresholds in [0, 1].

    Raises:
      ValueError: If costs are negative, infinite, both 0, or of shapes that do not fit together.

    References:
      Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001.
    """
    wrong, missed = _costs(false_positive_cost, false_negative_cost)
    return wrong / (wrong + missed)


def fit_cost(
    probs: ArrayLike,
    labels: ArrayLike,
    false_positive_cost: ArrayLike = 1.0,
    false_negative_cost: ArrayLike = 1.0,
    per_label: bool = False,
) -> np.ndarray:
    """Thresholds of the least total cost on validation data that any can reach.

    They need no calibrated probabilities, but are noisy where there are few positives; with
    calibrated probabilities `cost_threshold` is the steadier choice.

    Args:
      probs: (N, C) validation probabilities.
      labels: (N, C) labels in {0, 1}.
      false_positive_cost: Scalar or (C,), >= 0: cost of predicting a label that is absent.
      false_negative_cost: Scalar or (C,), >= 0: cost of missing a label that is present.
      per_label: One threshold per label; else one is shared.

    Returns:
      () or, per label, (C,) float64 thresholds. To predict nothing they lie midway between the
      largest probability and 1, or at 1.5 where that probability is 1; all others are in [0, 1].

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
    # Costs are sums of floats, so that equal ones may differ in their last digits.
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
    """(C,) F1-optimal thresholds of (N, C) columns; of no meaning for columns without positives."""
    order = np.argsort(-probs, axis=0)
    hits = np.cumsum(np.take_along_axis(labels, order, axis=0), axis=0)
    hits = np.pad(hits, ((1, 0), (0, 0)))
    predicted = np.arange(len(probs) + 1)[:, None]
    # Equal fractions are equal floats, so that ties between cuts are found exactly. Predicting
    # nothing has an F1 of 0 and is never the best.
    return _middle_of_best(probs, order, 2 * hits / np.maximum(predicted + hits[-1], 1))


def _middle_of_best(
    probs: np.ndarray, order: np.ndarray, score: np.ndarray, noise: ArrayLike = 0.0
) -> np.ndarray:
    """(C,) thresholds from (N + 1, C) scores of predicting the 0, 1, ... N highest of a column."""
    probs = np.take_along_axis(probs, order, axis=0)
    above = np.where(probs[:1] < 1, 1.0, 2.0)
    upper = np.concatenate([above, probs])
    lower = np.concatenate([probs, np.zeros_like(probs[:1])])
    cut = upper != lower  # within ties there is nothing to cut
    cut[-1] = True
    score = np.where(cut, score, -np.inf)
    tied = np.cumsum(score >= score.max(0) - noise, axis=0)
    chosen = np.argmax(tied >= (tied[-1] + 1) // 2, axis=0)[None]
    upper = np.take_along_axis(upper, chosen, axis=0)[0]
    lower = np.take_along_axis(lower, chosen, axis=0)[0]
    middle = (upper + lower) / 2
    # Between two neighbouring floats there is no middle, and rounding could let the lower one in.
    return np.where(middle > lower, middle, upper)
