"""Selective prediction: the risk that remains when the most uncertain predictions are left out.

The scores take (N,) entries. For (N, C) arrays, `ravel` pools labels, `per_label` scores each
column, and `per_sample` makes one entry of each row, for abstaining on whole samples.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named

Reduction = Literal["mean", "max"]


@named
def risk_coverage(risk: ArrayLike, uncertainty: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean risk among the k most certain entries, for every k.

    Equal uncertainties are taken in random order and the result is the expectation over it, so it
    does not depend on the order of the entries.

    Args:
      risk: (N,) finite cost of each entry, for instance 1 for a wrong decision and 0 for a right
        one. Ravel (N, C) arrays to pool labels.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters. The lowest are
        kept first.

    Returns:
      coverage: (N,) share of entries kept, k / N for k = 1 ... N.
      selective_risk: (N,) expected mean risk of those kept; the last is the mean risk of all.

    Raises:
      ValueError: If shapes differ, are not 1-D, or values are NaN or infinite.

    References:
      El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.

    Example:
      >>> from lddu import metrics
      >>> coverage, risk = metrics.risk_coverage([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.3])
      >>> coverage.tolist(), risk.round(2).tolist()
      ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.5])
    """
    checks.same_shape(ndim=1, risk=risk, uncertainty=uncertainty)
    risk = checks.finite("risk", risk)
    uncertainty = checks.finite("uncertainty", uncertainty)
    # In a random order within ties each entry of a group has, in expectation, the group's mean.
    _, group, sizes = np.unique(uncertainty, return_inverse=True, return_counts=True)
    expected = np.repeat(np.bincount(group, risk) / sizes, sizes)
    kept = np.arange(1, len(risk) + 1)
    return kept / len(risk), np.cumsum(expected) / kept


@named
def aurc(risk: ArrayLike, uncertainty: ArrayLike) -> float:
    """Computes the area under the risk-coverage curve: the mean of the risks of `risk_coverage`.

    An uncertainty without information has the mean risk. The area depends on accuracy too, so
    compare it only between uncertainties of one model, or beside the mean risk.

    Args:
      risk: (N,) finite cost of each entry.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters.

    Returns:
      A float, in the unit of the risk; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, or values are NaN or infinite.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.

    Example:
      >>> from lddu import metrics
      >>> wrong = [0, 0, 1, 1]
      >>> round(metrics.aurc(wrong, [1, 2, 3, 4]), 4), round(metrics.aurc(wrong, [4, 3, 2, 1]), 4)
      (0.2083, 0.7917)
    """
    return float(np.mean(risk_coverage(risk, uncertainty)[1]))


@named
def excess_aurc(risk: ArrayLike, uncertainty: ArrayLike) -> float:
    """Computes by how much `aurc` exceeds that of the best possible order, which is by the risk.

    This removes most of the effect of accuracy on `aurc`, so it can be compared between models of
    similar risk. An uncertainty without information has the mean risk less the best `aurc`.

    Args:
      risk: (N,) finite cost of each entry.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters.

    Returns:
      A float of at least 0, which is perfect, in the unit of the risk; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, or values are NaN or infinite.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    """
    # Only rounding can bring the difference below 0.
    return max(aurc(risk, uncertainty) - aurc(risk, risk), 0.0)


@named
def risk_at_coverage(
    risk: ArrayLike, uncertainty: ArrayLike, coverage: ArrayLike
) -> float | np.ndarray:
    """Computes the mean risk of the most certain entries when at least a given share is kept.

    Args:
      risk: (N,) finite cost of each entry.
      uncertainty: (N,) finite uncertainty of each entry; equal ones are taken in random order, as
        in `risk_coverage`.
      coverage: Share of the entries to keep, in (0, 1]; a number or an array. The smallest number k
        of entries with k / N >= coverage is kept.

    Returns:
      A float, or an array of the shape of `coverage`; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are NaN or infinite, or coverage is not in
        (0, 1].
    """
    shares, risks = risk_coverage(risk, uncertainty)
    coverage = checks.finite("coverage", coverage)
    if not np.all((coverage > 0) & (coverage <= 1)):
        raise ValueError(f"coverage={coverage} must lie in (0, 1]; 0.8 keeps four fifths")
    # Slightly less, because rounding makes 3 * 0.1 more than 3 / 10.
    kept = risks[np.searchsorted(shares, coverage * (1 - 1e-12))]
    return float(kept) if coverage.ndim == 0 else kept


@named(returns="labels")
def per_label(score: Callable[..., Any], *arrays: ArrayLike) -> Any:
    """Scores every column of (N, C) arrays.

    Args:
      score: Function of (N,) arrays that returns a float or a NamedTuple of floats, such as `aurc`.
      *arrays: (N, C) arrays, passed to `score` column by column.

    Returns:
      (C,) scores, or the NamedTuple with (C,) fields.

    Raises:
      ValueError: If there are no arrays, or their shapes are not (N, C) or differ.

    Example:
      >>> from lddu import metrics
      >>> wrong, uncertainty = [[0, 1], [1, 0]], [[0.1, 0.2], [0.3, 0.4]]
      >>> metrics.per_label(metrics.aurc, wrong, uncertainty).tolist()
      [0.25, 0.75]
    """
    if not arrays:
        raise ValueError("no arrays given; pass those that score takes, (N, C) each")
    checks.same_shape(**{f"array {i}": x for i, x in enumerate(arrays)})
    columns = zip(*(np.asarray(x).T for x in arrays), strict=True)
    scores = [score(*column) for column in columns]
    if isinstance(scores[0], tuple):
        return type(scores[0])(*(np.array(field) for field in zip(*scores, strict=True)))
    return np.array(scores)


@named(returns="rows")
def per_sample(
    risk: ArrayLike, uncertainty: ArrayLike, reduce: Reduction = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one risk and one uncertainty per sample, as for `aurc(*per_sample(...))`.

    Args:
      risk: (N, C) finite cost of each entry. A sample's risk is the mean over its labels: its
        Hamming loss if the cost is 1 for a wrong decision.
      uncertainty: (N, C) finite uncertainty of each entry.
      reduce: A sample's uncertainty: "mean" over its labels, or "max", its least certain label.

    Returns:
      (N,) risks and (N,) uncertainties.

    Raises:
      ValueError: If shapes differ, are not (N, C), values are NaN or infinite, or `reduce` is
        unknown.
    """
    checks.choice("reduce", reduce, Reduction)
    checks.same_shape(risk=risk, uncertainty=uncertainty)
    uncertainty = checks.finite("uncertainty", uncertainty)
    reduced = uncertainty.mean(1) if reduce == "mean" else uncertainty.max(1)
    return checks.finite("risk", risk).mean(1), reduced
