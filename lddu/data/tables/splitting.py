"""Division of rows into train, valid and test, balanced over labels, with groups kept whole."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from lddu.data.dataset import SPLITS


def split(
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> np.ndarray:
    """Assigns each row to train, valid or test.

    Rows of one group (film, dialogue, speaker) stay together, so that a test row is never of a
    group that was trained on. Groups are visited from the largest to the smallest, equal ones in
    random order, and each goes where the numbers of rows and of positives of each label come
    closest to their shares. This is iterative stratification with groups in place of rows.

    Args:
      labels: (N, C) labels in [0, 1], hard or soft; NaN, unknown, counts for no label.
      groups: (N,) group of each row; None makes each row a group of its own.
      shares: Shares of the rows for train, valid and test, which add up to 1.
      seed: Seed of the order; the same arguments always give the same splits.

    Returns:
      (N,) texts "train", "valid" or "test".

    Raises:
      ValueError: If shapes do not fit, shares do not add up to 1, or groups are so few or so large
        that a split would be empty.

    References:
      Sechidis et al., "On the Stratification of Multi-Label Data", ECML PKDD 2011.

    Example:
      >>> import numpy as np
      >>> from lddu.data import split
      >>> labels = np.tile([[1, 0], [0, 1]], (50, 1))
      >>> np.unique(split(labels, shares=(0.6, 0.2, 0.2)), return_counts=True)
      (array(['test', 'train', 'valid'], dtype='<U5'), array([20, 60, 20]))
    """
    labels = np.asarray(labels, np.float64)
    shares = np.asarray(shares, np.float64)
    if labels.ndim != 2 or not len(labels):
        raise ValueError(f"labels have shape {labels.shape}, expected (rows, labels)")
    if shares.shape != (3,) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"shares must be three numbers above 0 that add up to 1, got {shares}")
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if groups.shape != (len(labels),):
        raise ValueError(f"groups have shape {groups.shape}, expected ({len(labels)},)")
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < len(SPLITS):
        raise ValueError(f"{len(names)} groups cannot fill {len(SPLITS)} splits")
    chosen = _assign(_parts(labels, member.ravel(), len(names)), shares, seed)
    if len(np.unique(chosen)) < len(SPLITS):
        empty = SPLITS[next(i for i in range(3) if i not in chosen)]
        raise ValueError(
            f"the {len(names)} groups are too few or too large for shares {shares.tolist()}: "
            f"{empty!r} would be empty; give it a larger share"
        )
    return np.array(SPLITS)[chosen][member.ravel()]


def _parts(labels: np.ndarray, member: np.ndarray, groups: int) -> np.ndarray:
    """Returns (G, C + 1) the part of all rows, and of all positives of each label, per group."""
    counts = np.column_stack([np.ones(len(labels)), np.nan_to_num(labels)])
    columns = [np.bincount(member, column, groups) for column in counts.T]
    return np.stack(columns, 1) / np.maximum(counts.sum(0), 1e-12)


def _assign(parts: np.ndarray, shares: np.ndarray, seed: int) -> np.ndarray:
    """Returns (G,) the number of the split of each group."""
    order = np.random.default_rng(seed).permutation(len(parts))
    order = order[np.argsort(-parts[order].sum(1), kind="stable")]
    have = np.zeros((len(shares), parts.shape[1]))
    chosen = np.zeros(len(parts), np.int64)
    for group in order:
        # How the squared distance to the shares, relative to them, would change; less a constant.
        part = parts[group]
        best = int(((part * (2 * have + part)).sum(1) / shares).argmin())
        chosen[group] = best
        have[best] += part
    return chosen
