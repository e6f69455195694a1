"""Does the uncertainty know where the errors are? Abstain on the uncertain, look at the rest.

The scores take (N,) entries. Of (N, C) arrays, ravel pools labels, `per_label` scores each column,
and `per_sample` makes one entry of a row, for abstaining on whole samples.
"""

from collections.abc import Callable
from typing import Any, Literal

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


def excess_aurc(risk: ArrayLike, uncertainty: ArrayLike) -> float:
    """`aurc` above that of the best possible order, by the risk itself; 0 is perfect.

    It takes out most of what `aurc` owes to accuracy, so it can be compared between models of
    similar risk. An uncertainty without information has the mean risk less the best `aurc`.

    Args:
      risk: (N,) cost of each entry.
      uncertainty: (N,) uncertainty of each entry.

    Returns:
      A float, at least 0; lower is better.

    References:
      Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    """
    # Never below 0 but for rounding.
    return max(aurc(risk, uncertainty) - aurc(risk, risk), 0.0)


def risk_at_coverage(
    risk: ArrayLike, uncertainty: ArrayLike, coverage: ArrayLike
) -> float | np.ndarray:
    """Mean risk of the most certain entries, when at least this share of all is kept.

    Args:
      risk: (N,) cost of each entry.
      uncertainty: (N,) uncertainty of each entry; equal ones are taken as in `risk_coverage`.
      coverage: Share of the entries to keep, in (0, 1]; a number or an array. k entries are kept,
        the smallest k with k / N >= coverage.

    Returns:
      A float, or an array of the shape of `coverage`; lower is better.

    Raises:
      ValueError: As `risk_coverage`, or if coverage is not in (0, 1].
    """
    shares, risks = risk_coverage(risk, uncertainty)
    coverage = checks.finite("coverage", coverage)
    if not np.all((coverage > 0) & (coverage <= 1)):
        raise ValueError(f"coverage={coverage} must lie in (0, 1]; 0.8 keeps four fifths")
    # A hair less, as rounding makes 3 * 0.1 more than 3 / 10.
    found = risks[np.searchsorted(shares, coverage * (1 - 1e-12))]
    return float(found) if coverage.ndim == 0 else found


def per_label(score: Callable[..., Any], *arrays: ArrayLike) -> Any:
    """Scores every column of (N, C) arrays: `per_label(aurc, wrong, uncertainty)`.

    Args:
      score: A function of (N,) arrays that returns a float or a NamedTuple of floats.
      *arrays: (N, C) each.

    Returns:
      (C,) scores, or the NamedTuple with (C,) fields.

    Raises:
      ValueError: If there are no arrays, or they are not of one shape (N, C).
    """
    if not arrays:
        raise ValueError("no arrays given; pass those that score takes, (N, C) each")
    checks.same_shape(**{f"array {i}": x for i, x in enumerate(arrays)})
    columns = zip(*(np.asarray(x).T for x in arrays), strict=True)
    scores = [score(*column) for column in columns]
    if isinstance(scores[0], tuple):
        return type(scores[0])(*(np.array(field) for field in zip(*scores, strict=True)))
    return np.array(scores)


def per_sample(
    risk: ArrayLike, uncertainty: ArrayLike, reduce: Literal["mean", "max"] = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    """One risk and one uncertainty per sample: `aurc(*per_sample(wrong, uncertainty))`.

    Args:
      risk: (N, C) cost of each entry. A sample's risk is the mean over its labels: its Hamming loss
        if the cost is 1 for a wrong decision.
      uncertainty: (N, C) uncertainty of each entry.
      reduce: A sample's uncertainty: "mean" over its labels, or "max", its least certain label.

    Returns:
      (N,) risks and (N,) uncertainties.

    Raises:
      ValueError: If shapes differ, are not (N, C), or values are NaN or infinite.
    """
    checks.choice("reduce", reduce, ("mean", "max"))
    checks.same_shape(risk=risk, uncertainty=uncertainty)
    uncertainty = checks.finite("uncertainty", uncertainty)
    reduced = uncertainty.mean(1) if reduce == "mean" else uncertainty.max(1)
    return checks.finite("risk", risk).mean(1), reduced
