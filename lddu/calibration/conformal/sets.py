"""What every fit returns, and the sets that follow from it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks, threshold


class RiskControl(NamedTuple):
    """Fitted thresholds, to be used with `apply`.

    Attributes:
      threshold: () or, per label, (C,) float64. A label is in the set where `probs >= threshold`;
        0 includes it always, infinity never.
      found: () or (C,) bool. False where the data were too few, or the model too weak, to show
        that any threshold meets the level, so that the fallback stands.
    """

    threshold: np.ndarray
    found: np.ndarray


def apply(state: RiskControl, probs: ArrayLike) -> np.ndarray:
    """The prediction sets.

    Args:
      state: From one of the fits.
      probs: (N, C) probabilities of the same model.

    Returns:
      (N, C) bool, whether a label is in a sample's set.

    Raises:
      ValueError: If C differs from the number of labels fitted, or values are NaN or out of range.
    """
    if state.threshold.ndim and np.shape(probs)[-1:] != state.threshold.shape:
        raise ValueError(
            f"probs has shape {np.shape(probs)}, but the thresholds were fitted on "
            f"{len(state.threshold)} labels; the last axis must be the labels"
        )
    return threshold(probs, state.threshold)


def checked(probs: ArrayLike, labels: ArrayLike, **shares: float) -> tuple[np.ndarray, np.ndarray]:
    """Checked (N, C) float64 probabilities and bool labels, with each of `shares` in (0, 1)."""
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name}={share} must lie strictly between 0 and 1")
    probs, labels = checks.probs_and_labels(probs, labels)
    if not labels.any():
        raise ValueError(
            f"labels {labels.shape} holds no positive, so there is nothing to find; check the "
            "labels, or calibrate on more samples"
        )
    return probs, labels
