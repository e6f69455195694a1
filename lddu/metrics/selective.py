"""Does the uncertainty know where the errors are? Abstain on the uncertain, look at the rest."""

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks


def risk_coverage(risk: ArrayLike, uncertainty: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean risk among the most certain k entries, for every k.

    Equal uncertainties are taken in random order and the result is the expectation over it, so it
    does not depend on the order of the entries.

    Args:
      risk: (N,) finite cost of each entry, for instance 1 for a wrong decision and 0 for a right
        one. Ravel (N, C) arrays to pool labels.
      uncertainty: (N,) finite; only its order matters. Lower is kept first.

    Returns:
      coverage: (N,) share of entries kept, k / N for k = 1 ... N.
      selective_risk: (N,) their expected mean risk; the last is the mean risk of all.

    Raises:
      ValueError: If shapes differ, are not 1-D, or values are NaN or infinite.

    References:
      El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.
    """
    checks.same_shape(ndim=1, risk=risk, uncertainty=uncertainty)
    risk = checks.finite("risk", risk)
    uncertainty = checks.finite("uncertainty", uncertainty)
    # In a random order within ties each entry of a group has, in expectation, the group's mean.
    _, group, sizes = np.unique(uncertainty, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(group, risk) / sizes, sizes)
    kept = np.arange(1, len(risk) + 1)
    return kept / len(risk), np.cumsum(expected) / kept


def aurc(risk: ArrayLike, uncertainty: ArrayLike) -> float:
    """Area under the risk-coverage curve: the mean of `risk_coverage`'s risks; lower is better.

    An uncertainty without information has the mean risk; it depends on accuracy too, so compare it
    only between uncertainties of one model, or beside the mean risk.

    Args:
      risk: (N,) cost of each entry.
      uncertainty: (N,) uncertainty of each entry.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    """
    return float(np.mean(risk_coverage(risk, uncertainty)[1]))
