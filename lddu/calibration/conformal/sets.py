"""Fitted thresholds and the prediction sets that follow from them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.calibration.conformal.ranking import Rank, scores
from lddu.metrics import checks, threshold
from lddu.names import named


class RiskControl(NamedTuple):
    """Fitted thresholds, to be used with `apply`.

    Attributes:
      threshold: () or, per label, (C,) float64 thresholds. A label is in the set where its
        probability (or expected share, see `rank`) is at or above it: with 0 always, with infinity
        never.
      found: () or (C,) bool, False where the data were too few, or the model too weak, to show
        that any threshold meets the level, so that the threshold is a fallback.
      rank: What the threshold applies to: "probability", or "share" for `expected_share`.
    """

    threshold: np.ndarray
    found: np.ndarray
    rank: Rank = "probability"


@named(returns="entries")
def apply(state: RiskControl, probs: ArrayLike) -> np.ndarray:
    """Returns the prediction sets.

    Args:
      state: Thresholds from one of the fits.
      probs: (N, C) probabilities of the same model.

    Returns:
      (N, C) bool, whether each label is in each sample's set.

    Raises:
      ValueError: If C differs from the number of labels fitted, or values are NaN or out of range.

    Example:
      >>> import numpy as np
      >>> from lddu.calibration import conformal
      >>> state = conformal.RiskControl(np.array([0.5, np.inf]), np.array([True, False]))
      >>> conformal.apply(state, [[0.7, 0.9]]).tolist()
      [[True, False]]
    """
    if state.threshold.ndim and np.shape(probs)[-1:] != state.threshold.shape:
        raise ValueError(
            f"probs has shape {np.shape(probs)}, but the thresholds were fitted on "
            f"{len(state.threshold)} labels; the last axis must be the labels"
        )
    return threshold(scores(checks.unit_interval("probs", probs), state.rank), state.threshold)
