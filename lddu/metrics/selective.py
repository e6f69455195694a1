"""Selective prediction: the risk that remains when the most uncertain predictions are left out.

The scores take (N,) entries. For (N, C) arrays, `ravel` pools labels, `per_label` scores each
column, and `per_sample` makes one entry of each row, for abstaining on whole samples. A risk of NaN
is unknown, as `lddu.metrics.wrong` returns it for an unknown label, and leaves its entry out.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks
from lddu.names import named

Reduction = Literal["mean", "max"]


@named
def risk_coverage(
    risk: ArrayLike, uncertainty: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean risk among the k most certain entries, for every k.

    Equal uncertainties are taken in random order and the result is the expectation over it, so it
    does not depend on the order of the entries.

    With weights, a coverage is a share of the total weight, and where it ends within an entry, that
    entry counts with the part of its weight that is kept. At any coverage this is the risk of the
    entries repeated as often as whole weights say, but the curve keeps its K points, whatever the
    scale of the weights.

    Args:
      risk: (N,) cost of each entry, for instance 1 for a wrong decision and 0 for a right one; NaN
        where unknown, which leaves the entry out. Ravel (N, C) arrays to pool labels.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters. The lowest are
        kept first.
      weights: (N,) weights of the entries, at least 0; None weights all equally.

    Returns:
      coverage: (K,) share of entries kept, k / K for k = 1 ... K; K is the number of entries with a
        known risk and a weight above 0.
      selective_risk: (K,) expected mean risk of those kept; the last is the mean risk of all.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are infinite, uncertainties are NaN, or no
        risk is known.

    References:
      El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010.

    Example:
      >>> from lddu import metrics
      >>> coverage, risk = metrics.risk_coverage([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.3])
      >>> coverage.tolist(), risk.round(2).tolist()
      ([0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.33, 0.5])
    """
    risk, uncertainty, weights = _entries(risk, uncertainty, weights)
    # In a random order within ties each entry of a group has, in expectation, the group's mean.
    _, group, sizes = np.unique(uncertainty, return_inverse=True, return_counts=True)
    mass = np.bincount(group, weights)
    expected = np.repeat(np.bincount(group, weights * risk) / mass, sizes)
    steps = np.repeat(mass / sizes, sizes)
    kept, cost = (np.concatenate([[0], np.cumsum(x)]) for x in (steps, steps * expected))
    points = np.arange(1, len(risk) + 1)
    share = points * kept[-1] / len(risk)
    return points / len(risk), np.interp(share, kept, cost) / share


@named
def aurc(risk: ArrayLike, uncertainty: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Computes the area under the risk-coverage curve: the mean of the risks of `risk_coverage`.

    An uncertainty without information has the mean risk. The area depends on accuracy too, so
    compare it only between uncertainties of one model, or beside the mean risk. It is linear in the
    risk, so with the share of annotators who disagree as risk it is the mean over their votes. As a
    mean over as many coverages as there are entries, it changes a little if all are repeated, and
    so a weight of k is not quite k entries; the scale of weights does not matter.

    Args:
      risk: (N,) cost of each entry; NaN where unknown, which leaves the entry out.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters.
      weights: (N,) weights of the entries, at least 0; None weights all equally.

    Returns:
      A float, in the unit of the risk; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are infinite, uncertainties are NaN, or no
        risk is known.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.

    Example:
      >>> from lddu import metrics
      >>> wrong = [0, 0, 1, 1]
      >>> round(metrics.aurc(wrong, [1, 2, 3, 4]), 4), round(metrics.aurc(wrong, [4, 3, 2, 1]), 4)
      (0.2083, 0.7917)
    """
    return float(np.mean(risk_coverage(risk, uncertainty, weights=weights)[1]))


@named
def excess_aurc(
    risk: ArrayLike, uncertainty: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Computes by how much `aurc` exceeds that of the best possible order, which is by the risk.

    This removes most of the effect of accuracy on `aurc`, so it can be compared between models of
    similar risk. An uncertainty without information has the mean risk less the best `aurc`.

    Args:
      risk: (N,) cost of each entry; NaN where unknown, which leaves the entry out.
      uncertainty: (N,) finite uncertainty of each entry; only its order matters.
      weights: (N,) weights of the entries, at least 0; None weights all equally.

    Returns:
      A float of at least 0, which is perfect, in the unit of the risk; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are infinite, uncertainties are NaN, or no
        risk is known.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    """
    risk, uncertainty, weights = _entries(risk, uncertainty, weights)
    best = aurc(risk, risk, weights=weights)
    # Only rounding can bring the difference below 0.
    return max(aurc(risk, uncertainty, weights=weights) - best, 0.0)


@named
def risk_at_coverage(
    risk: ArrayLike,
    uncertainty: ArrayLike,
    coverage: ArrayLike,
    *,
    weights: ArrayLike | None = None,
) -> float | np.ndarray:
    """Computes the mean risk of the most certain entries when at least a given share is kept.

    Args:
      risk: (N,) cost of each entry; NaN where unknown, which leaves the entry out.
      uncertainty: (N,) finite uncertainty of each entry; equal ones are taken in random order, as
        in `risk_coverage`.
      coverage: Share of the entries to keep, in (0, 1]; a number or an array. The smallest number k
        of entries with k / N >= coverage is kept.
      weights: (N,) weights of the entries, at least 0; None weights all equally.

    Returns:
      A float, or an array of the shape of `coverage`; lower is better.

    Raises:
      ValueError: If shapes differ, are not 1-D, values are infinite, uncertainties are NaN, no risk
        is known, or coverage is not in (0, 1].
    """
    shares, risks = risk_coverage(risk, uncertainty, weights=weights)
    coverage = checks.finite("coverage", coverage)
    if not np.all((coverage > 0) & (coverage <= 1)):
        raise ValueError(f"coverage={coverage} must lie in (0, 1]; 0.8 keeps four fifths")
    # Slightly less, because rounding makes 3 * 0.1 more than 3 / 10.
    kept = risks[np.searchsorted(shares, coverage * (1 - 1e-12))]
    return float(kept) if coverage.ndim == 0 else kept


@named(returns="labels")
def per_label(
    score: Callable[..., Any], *arrays: ArrayLike, weights: ArrayLike | None = None
) -> Any:
    """Scores every column of (N, C) arrays.

    Args:
      score: Function of (N,) arrays that returns a float or a NamedTuple of floats, such as `aurc`.
      *arrays: (N, C) arrays, passed to `score` column by column.
      weights: (N,) weights of the rows, passed to `score` as `weights` if given.

    Returns:
      (C,) scores, or the NamedTuple with (C,) fields; NaN for a column in which nothing is known.

    Raises:
      ValueError: If there are no arrays, their shapes are not (N, C) or differ, or nothing is known
        in any column.

    Example:
      >>> from lddu import metrics
      >>> wrong, uncertainty = [[0, 1], [1, 0]], [[0.1, 0.2], [0.3, 0.4]]
      >>> metrics.per_label(metrics.aurc, wrong, uncertainty).tolist()
      [0.25, 0.75]
    """
    if not arrays:
        raise ValueError("no arrays given; pass those that score takes, (N, C) each")
    checks.same_shape(**{f"array {i}": x for i, x in enumerate(arrays)})
    options = {} if weights is None else {"weights": weights}
    scores: dict[int, Any] = {}
    for c, column in enumerate(zip(*(np.asarray(x).T for x in arrays), strict=True)):
        try:
            scores[c] = score(*column, **options)
        except checks.NothingKnown as error:
            nothing = error
    if not scores:
        raise nothing
    first = next(iter(scores.values()))
    table = np.full((np.shape(arrays[0])[1], *np.shape(first)), np.nan)
    for c, values in scores.items():
        table[c] = values
    return type(first)(*table.T) if isinstance(first, tuple) else table


@named(returns="rows")
def per_sample(
    risk: ArrayLike, uncertainty: ArrayLike, reduce: Reduction = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns one risk and one uncertainty per sample, as for `aurc(*per_sample(...))`.

    Args:
      risk: (N, C) cost of each entry, NaN where unknown. A sample's risk is the mean over its known
        entries: its Hamming loss if the cost is 1 for a wrong decision.
      uncertainty: (N, C) finite uncertainty of each entry.
      reduce: A sample's uncertainty: "mean" over its known entries, or "max", the least certain of
        them.

    Returns:
      (N,) risks, NaN for a sample of which nothing is known, and (N,) uncertainties.

    Raises:
      ValueError: If shapes differ, are not (N, C), values are infinite, uncertainties are NaN, no
        risk is known, or `reduce` is unknown.
    """
    checks.choice("reduce", reduce, Reduction)
    checks.same_shape(risk=risk, uncertainty=uncertainty)
    uncertainty = checks.finite("uncertainty", uncertainty)
    values, known = checks.known("risk", risk)
    values = checks.finite("risk", values)
    count = known.sum(1)
    # Where nothing is known, the risk is unknown too, and any finite uncertainty does.
    known = np.where(count[:, None] > 0, known, 1)
    if reduce == "mean":
        reduced = np.sum(known * uncertainty, 1) / known.sum(1)
    else:
        reduced = np.max(uncertainty, 1, where=known > 0, initial=-np.inf)
    return np.sum(known * values, 1) / np.where(count > 0, count, np.nan), reduced


def _entries(
    risk: ArrayLike, uncertainty: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns checked risks, uncertainties and weights of the entries that are known."""
    checks.same_shape(ndim=1, risk=risk, uncertainty=uncertainty)
    risk, weights = checks.known("risk", risk, weights)
    kept = weights > 0
    uncertainty = checks.finite("uncertainty", uncertainty)
    return checks.finite("risk", risk)[kept], uncertainty[kept], weights[kept]
