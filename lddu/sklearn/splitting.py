"""A random part of the rows, held out whole groups together."""

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit


def hold_out(
    rows: int, fraction: float, groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows at random, whole groups together.

    Args:
      rows: Number of rows.
      fraction: Share of the rows (of the groups, where there are any) to hold out, in (0, 1).
      groups: (N,) groups, or None.
      seed: Seed of the draw.

    Returns:
      Positions of the rows to fit on, and of those held out, each ascending.

    Raises:
      ValueError: If either part would be empty.
    """
    splitter = ShuffleSplit if groups is None else GroupShuffleSplit
    split = splitter(n_splits=1, test_size=fraction, random_state=seed)
    fitted, held_out = next(split.split(np.zeros(rows), groups=groups))
    return np.sort(fitted), np.sort(held_out)
