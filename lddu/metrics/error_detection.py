"""Can the uncertainty tell wrong decisions from right ones?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks, multilabel


class ErrorDetection(NamedTuple):
    """How well an uncertainty finds wrong decisions; NaN if all are right or all are wrong.

    Attributes:
      auroc: Probability that a random wrong decision is more uncertain than a random right one,
        ties counting half; 0.5 is no information.
      average_precision: Mean precision of flagging the most uncertain, at each wrong decision; the
        share of wrong decisions is no information.
    """

    auroc: float
    average_precision: float


def error_detection(wrong: ArrayLike, uncertainty: ArrayLike) -> ErrorDetection:
    """Scores an uncertainty as a detector of wrong decisions.

    Args:
      wrong: (N,) whether each decision is wrong, 0 or 1. Ravel (N, C) arrays to pool labels; for
        each label, `per_label(error_detection, wrong, uncertainty)`.
      uncertainty: (N,) finite; only its order matters.

    Returns:
      An `ErrorDetection`. Better models leave only hard errors, so compare uncertainties of one
      model by it, not models.

    Raises:
      ValueError: If shapes differ, are not 1-D, or values are NaN, infinite or not 0 or 1.

    References:
      Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples
        in Neural Networks", ICLR 2017.
    """
    checks.same_shape(ndim=1, wrong=wrong, uncertainty=uncertainty)
    wrong = checks.binary("wrong", wrong)[:, None]
    # The scores of `multilabel` want [0, 1]: ranks keep order and ties.
    _, rank = np.unique(checks.finite("uncertainty", uncertainty), return_inverse=True)
    scaled = (rank / max(rank.max(), 1))[:, None]
    return ErrorDetection(
        multilabel.auroc(scaled, wrong), multilabel.average_precision(scaled, wrong)
    )
