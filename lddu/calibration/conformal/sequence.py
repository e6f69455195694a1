"""The thresholds that precision control tests, and in which order."""

import numpy as np

_STEPS = 100  # from the highest threshold down to 0
# The first test has this many times the samples that could just reject if none had a loss.
_AMPLE = 8


def place(
    probs: np.ndarray, unit: np.ndarray, size: int, level: float, error: float, filled: bool
) -> np.ndarray:
    """Places the thresholds to test, from the highest down to 0.

    The highest decides whether anything is found: it should be high, where precision is, and low
    enough that many samples predict something. As many do as a test needs at the error allowed,
    with some to spare, but at most half of them.

    Args:
      probs: (N, C) probabilities of samples that do not take part in the tests.
      unit: (N,) independent unit of each row, such as its group.
      size: Number of independent units in all.
      level: Precision wanted.
      error: Level of the tests.
      filled: Whether precision also demands that sets are not empty.

    Returns:
      (G,) falling thresholds in [0, 1].
    """
    ample = min(0.5, _AMPLE * np.log(error) / np.log(level) / size)
    # Where empty sets count as 0, the level is out of reach with fewer sets.
    share = (1 + level) / 2 if filled else ample
    _, number = np.unique(unit, return_inverse=True)
    peaks = np.zeros(number.max() + 1)
    np.maximum.at(peaks, number, probs.max(1))
    return np.linspace(np.quantile(peaks, 1 - share), 0.0, _STEPS + 1)
