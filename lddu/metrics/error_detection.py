"""Detection of wrong decisions by their uncertainty."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks, ranking
from lddu.names import named


class ErrorDetection(NamedTuple):
    """How well an uncertainty detects wrong decisions; NaN if all are right or all are wrong.

    Attributes:
      auroc: Probability that a random wrong decision is more uncertain than a random right one,
        ties counting half; 0.5 for an uncertainty without information.
      average_precision: Mean precision of flagging the most uncertain, at each wrong decision; the
        share of wrong decisions for an uncertainty without information.
    """

    auroc: float
    average_precision: float


@named
def error_detection(
    wrong: ArrayLike, uncertainty: ArrayLike, *, weights: ArrayLike | None = None
) -> ErrorDetection:
    """Scores an uncertainty as a detector of wrong decisions.

    Args:
      wrong: (N,) whether each decision is wrong, in [0, 1], as from `lddu.metrics.wrong`: a share y
        counts as a wrong decision of weight y and a right one of weight 1 - y, and NaN leaves out a
        decision of which that is unknown. Ravel (N, C) arrays to pool labels; use
        `per_label(error_detection, wrong, uncertainty)` to score each label.
      uncertainty: (N,) finite uncertainty of each decision; only its order matters.
      weights: (N,) weights of the decisions, at least 0; None weights all equally.

    Returns:
      An `ErrorDetection`. Better models leave only hard errors, so use it to compare uncertainties
      of one model, not models.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are infinite or out of range, uncertainties
        are NaN, or no decision is known to be right or wrong.

    References:
      Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples
        in Neural Networks", ICLR 2017.

    Example:
      >>> from lddu import metrics
      >>> metrics.error_detection([0, 1, 0, 1], [0.1, 0.3, 0.2, 0.9]).auroc
      1.0
    """
    checks.same_shape(ndim=1, wrong=wrong, uncertainty=uncertainty)
    # `ranking` takes probabilities: ranks scaled to [0, 1] keep order and ties.
    _, rank = np.unique(checks.finite("uncertainty", uncertainty), return_inverse=True)
    scaled = (rank / max(rank.max(), 1))[:, None]
    wrong, weights = checks.known("wrong", wrong, weights)
    wrong = checks.unit_interval("wrong", wrong)[:, None]
    areas = (
        score(scaled, wrong, "none", weights=weights).item()
        for score in (ranking.auroc, ranking.average_precision)
    )
    return ErrorDetection(*areas)
