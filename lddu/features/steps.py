"""Fewer steps for a long sequence."""

import numpy as np


def shorten(values: np.ndarray, steps: int) -> np.ndarray:
    """Shortens a sequence to at most `steps` steps, the means of nearly equal parts.

    Args:
      values: (T, D) sequence.
      steps: Longest sequence wanted.

    Returns:
      (min(T, steps), D): `values` itself if it is short enough, else float32 means.

    Raises:
      ValueError: If `steps` is not at least 1.

    Example:
      >>> import numpy as np
      >>> from lddu.features.steps import shorten
      >>> shorten(np.array([[1.0], [3.0], [5.0], [7.0]]), steps=2).tolist()
      [[2.0], [6.0]]
    """
    if steps < 1:
        raise ValueError(f"steps={steps} is not at least 1")
    if len(values) <= steps:
        return values
    edges = np.arange(steps) * len(values) // steps
    counts = np.diff(np.append(edges, len(values)))
    return (np.add.reduceat(values, edges, axis=0, dtype=np.float64) / counts[:, None]).astype(
        np.float32
    )
