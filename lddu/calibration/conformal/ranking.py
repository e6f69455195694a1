"""What the labels of a sample are ranked by: their probability, or their expected share."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named

Rank = Literal["probability", "share"]


@named(returns="entries")
def expected_share(probs: ArrayLike) -> np.ndarray:
    """Returns the share of a sample's true labels that each label is expected to be.

    This is the false-negative rate that leaving the label out costs: E[y_c / (number of true
    labels)], or p_c E[1 / (1 + S)] with S the number of other true labels. Labels are taken as
    independent. Then E[1 / (1 + S)] is the integral of the product of 1 - p_j + p_j t over the
    other labels j, for t from 0 to 1: a polynomial, which Gauss-Legendre quadrature integrates
    exactly.

    Args:
      probs: (N, C) probabilities.

    Returns:
      (N, C) expected shares in [0, 1]. Those of a sample sum to the probability that it has a
      label.

    Raises:
      ValueError: If values are NaN or out of range, or the shape is not (N, C).

    Example:
      >>> from lddu.calibration import conformal
      >>> conformal.expected_share([[1.0, 1.0], [0.5, 0.0]]).round(3).tolist()
      [[0.5, 0.5], [0.5, 0.0]]
    """
    checks.same_shape(probs=probs)
    probs = np.ascontiguousarray(checks.unit_interval("probs", probs))
    # n nodes are exact up to degree 2 n - 1, and the polynomial has degree C - 1.
    nodes, weights = np.polynomial.legendre.leggauss((probs.shape[1] + 1) // 2)
    integral = np.zeros_like(probs)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factors = 1 - probs * (1 - node)  # positive, since no node is 0
        integral += weight * factors.prod(1, keepdims=True) / factors
    return np.clip(probs * integral, 0.0, 1.0)


def scores(probs: np.ndarray, rank: Rank) -> np.ndarray:
    """Returns the (N, C) scores in [0, 1] that thresholds are compared with.

    Raises:
      ValueError: If `rank` is unknown.
    """
    checks.choice("rank", rank, Rank)
    return expected_share(probs) if rank == "share" else probs
