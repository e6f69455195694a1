"""The thresholds that precision control tests, and in which order."""

import numpy as np

_STEPS = 100  # from the highest threshold down to 0
# The first test has this many times the samples that could just reject if none had a loss.
_AMPLE = 8


def place(
    probs: np.ndarray, samples: float, level: float, error: float, filled: bool
) -> np.ndarray:
    """Places the thresholds to test, from the highest down to 0.

    The highest decides whether anything is found. It should be high, where precision is, and still
    let enough samples predict something for a test at the error allowed: here several times the
    fewest with which a test can reject, or a quarter of the samples where that is less.

    Args:
      probs: (N, C) probabilities of rows that do not take part in the tests.
      samples: Number of independent samples to test with, rows or groups, each by its weight.
      level: Precision wanted.
      error: Level of the tests.
      filled: Whether empty sets count as a precision of 0, so that most sets must not be empty.

    Returns:
      (G,) falling thresholds in [0, 1].
    """
    fewest = np.log(error) / np.log(level)
    share = (1 + level) / 2 if filled else min(0.25, _AMPLE * fewest / max(samples, 1))
    return np.linspace(np.quantile(probs.max(1), 1 - share), 0.0, _STEPS + 1)
