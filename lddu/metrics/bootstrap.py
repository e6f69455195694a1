"""BCa bootstrap over samples or groups: the uncertainty of scores and their differences.

A metric is any function of arrays whose first axis is the samples, such as those of this package.
It returns a float, a 1-D array (one value per label) or a mapping of name -> float (as `summarise`
does), and the results here take the same form. Unknown labels (NaN) and weights go to the metric
with their rows.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import averaging, bca, boundary, checks
from lddu.metrics.intervals import Difference, Interval
from lddu.names import named

PARTS = 100  # of the jackknife: the acceleration changes little with more of them
Metric = Callable[..., float | np.ndarray | Mapping[str, float]]


@named(returns="labels")
def bootstrap(
    metric: Metric,
    *arrays: ArrayLike,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    progress: bool = False,
) -> Interval | dict[str, Interval]:
    """Computes the interval of a metric by drawing rows with replacement.

    It says how the score would vary over test sets of this size, for this one trained model; the
    spread over training seeds comes on top. The interval is BCa: bias-corrected and accelerated,
    its normal quantiles widened to those of a t distribution for few rows or groups. With fewer
    than some 20 rows or groups, or for a metric that rests on few positives, it still falls short.

    A score that noise pushes away from a bound, such as the calibration error of nearly true
    probabilities, is no better known to resamples: `ece`, `mce`, `ece_debiased` and
    `brier_decomposition` are refused, also inside a function of one score, and a mapping's entries
    of such names ("ece", "ece_macro", "ece_adaptive", "ece_debiased", "mce", "reliability") get
    NaN for ends. `ece_interval` serves them. Other such scores, such as the largest error over
    labels or a calibration error of your own, cannot be told from their values: do not pass them.
    A score that no resample changes, such as the accuracy of a model that is always right, gets an
    interval of no width, which says nothing.

    Args:
      metric: Function called as `metric(*arrays)` on resampled rows, with the keyword `weights` if
        there are weights. It may return NaN where it is undefined.
      *arrays: (N, ...) arrays. The same rows are drawn from all of them.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the interval, between 0 and 1.
      seed: Seed of the draws. Equal seeds, N and groups draw the same rows.
      groups: (N,) group of each row. Rows that belong together (frames of a film, utterances of a
        speaker) are drawn together, as whole groups with replacement; with None, their correlation
        would make the interval too narrow.
      weights: (N,) weights of the rows, at least 0. A row is drawn as likely as any other and keeps
        its weight, so the number of rows, not the sum of weights, says how much is known: a weight
        stands for importance and not for copies. Rows of weight 0 take no part.
      progress: Whether to show a progress bar.

    Returns:
      An `Interval`, or one per name if the metric returns a mapping.

    Raises:
      ValueError: If arrays differ in length, there are fewer than two rows or groups, an option is
        out of range, the metric returns something else than documented, or it calls a function that
        has no bootstrap interval.

    References:
      Efron, "Better Bootstrap Confidence Intervals", Journal of the American Statistical
        Association 1987.
      Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 2015
        (widening by t quantiles: section 4.3).
      Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press
        1997 (resampling of groups: section 3.8).

    Example:
      >>> from lddu import metrics
      >>> interval = metrics.bootstrap(metrics.brier, [[0.9], [0.2], [0.6]], [[1], [0], [0]])
      >>> interval.low <= interval.estimate <= interval.high, interval.replicates
      (True, 1000)
    """
    views = [tuple(map(np.asarray, arrays))]
    scores = _scores(metric, views, resamples, seed, groups, weights, level, progress)
    estimate, table = scores.estimates[0], scores.tables[0]
    limits = bca.ends(table, level, scores.correction(estimate, table, scores.jackknives[0]))
    return _packed(Interval, scores.like, estimate, limits, bca.count(table))


@named(returns="labels")
def paired_bootstrap(
    metric: Metric,
    a: ArrayLike | tuple[ArrayLike, ...],
    b: ArrayLike | tuple[ArrayLike, ...],
    *shared: ArrayLike,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    progress: bool = False,
) -> Difference | dict[str, Difference]:
    """Computes the difference of a metric between two models on the same rows, with its interval.

    Both models are scored on the same resamples, so that what is easy or hard for both cancels.

    Args:
      metric: Function called as `metric(*a, *shared)` and `metric(*b, *shared)` on resampled rows,
        with the keyword `weights` if there are weights. It may return NaN where it is undefined.
      a: (N, ...) array of the first model, such as its probabilities, or a tuple of such arrays.
      b: The same of the second model. A positive difference means that b has the larger value.
      *shared: (N, ...) arrays passed for both models, such as labels.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the interval, between 0 and 1.
      seed: Seed of the draws. Equal seeds, N and groups draw the same rows.
      groups: (N,) group of each row; whole groups are drawn, as in `bootstrap`.
      weights: (N,) weights of the rows, at least 0, drawn with them, as in `bootstrap`.
      progress: Whether to show a progress bar.

    Returns:
      A `Difference`, or one per name if the metric returns a mapping. With many metrics or models,
      correct the p-values for their number.

    Raises:
      ValueError: If arrays differ in length, there are fewer than two rows or groups, an option is
        out of range, the metric returns something else than documented, or it calls a function that
        has no bootstrap interval; the difference of two calibration errors has none either.

    References:
      Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004.
      Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press
        1997.

    Example:
      >>> from lddu import metrics
      >>> a, b, labels = [[0.6], [0.5], [0.7]], [[0.9], [0.2], [0.8]], [[1], [0], [1]]
      >>> difference = metrics.paired_bootstrap(metrics.brier, a, b, labels)
      >>> difference.estimate < 0, difference.high < 0
      (True, True)
    """
    views = []
    for model in (a, b):
        own = model if isinstance(model, tuple) else (model,)
        views.append(tuple(map(np.asarray, (*own, *shared))))
    scores = _scores(metric, views, resamples, seed, groups, weights, level, progress)
    estimate, table, jackknife = (
        x[1] - x[0] for x in (scores.estimates, scores.tables, scores.jackknives)
    )
    known = scores.correction(estimate, table, jackknife)
    limits, p_value = bca.ends(table, level, known), bca.p_values(table, known)
    return _packed(Difference, scores.like, estimate, limits, p_value, bca.count(table))


class _Scores(NamedTuple):
    """Results of a metric for V models: one as returned, all rows (V, K), resamples, jackknife."""

    like: Any
    estimates: np.ndarray
    tables: np.ndarray
    jackknives: np.ndarray
    units: int

    def correction(self, *scores: np.ndarray) -> bca.Correction:
        return bca.correction(*scores, self.units)


def _scores(
    metric: Metric,
    views: Sequence[tuple[np.ndarray, ...]],
    resamples: int,
    seed: int,
    groups: ArrayLike | None,
    weights: ArrayLike | None,
    level: float,
    progress: bool,
) -> _Scores:
    """Scores V models on all rows, on resamples (V, R, K) and on jackknife samples (V, J, K)."""
    checks.at_least_one("resamples", resamples)
    checks.fraction("level", level)
    rows = _rows(views)
    groups = None if groups is None else checks.groups(groups, rows)
    if weights is not None:
        weights = checks.row_weights(weights, rows)
        kept = weights > 0
        views = [tuple(x[kept] for x in (*view, weights)) for view in views]
        groups, rows = None if groups is None else groups[kept], np.count_nonzero(kept)
        metric = _weighted(metric)
    unit = checks.units(groups, rows, "a bootstrap")
    units = int(unit.max()) + 1
    like, calls = boundary.watch(metric, *views[0])
    if calls and not isinstance(like, Mapping):
        raise ValueError(
            f"{calls[0]} has no bootstrap interval, because noise pushes it away from its bound in "
            "every resample once more; use metrics.ece_interval for the calibration error"
        )
    samples = itertools.chain(_draws(unit, resamples, seed), _parts(unit, seed))
    if progress:
        from tqdm.auto import tqdm

        samples = tqdm(samples, total=resamples + min(units, PARTS), desc="bootstrap")
    with averaging.silent():
        others = [_values(metric(*view), like) for view in views[1:]]
        tables = [[_score(metric, v, sample, like) for v in views] for sample in samples]
    estimates, tables = np.stack([_values(like, like), *others]), np.stack(tables, axis=1)
    undefined = ~np.isfinite(tables) | np.isnan(estimates)[:, None]
    tables = np.where(undefined, np.nan, tables)
    return _Scores(like, estimates, tables[:, :resamples], tables[:, resamples:], units)


def _weighted(metric: Metric) -> Metric:
    """Returns the metric as a function of arrays of which the last is its `weights`."""
    return lambda *arrays: metric(*arrays[:-1], weights=arrays[-1])


def _score(metric: Metric, view: tuple[np.ndarray, ...], rows: np.ndarray, like: Any) -> np.ndarray:
    """Returns the scores (K,) of some rows, NaN if nothing is known of them."""
    try:
        return _values(metric(*(x[rows] for x in view)), like)
    except checks.NothingKnown:
        return np.full_like(_values(like, like), np.nan)


def _values(result: Any, like: Any) -> np.ndarray:
    """Returns a result of the metric as (K,), checked to have the form of its first result."""
    names, wanted = (tuple(x) if isinstance(x, Mapping) else None for x in (result, like))
    if names != wanted:
        raise ValueError(f"metric returned names {names} after {wanted}; return the same each time")
    values, first = (
        np.asarray(list(x.values()) if isinstance(x, Mapping) else x) for x in (result, like)
    )
    if values.dtype.kind not in "biuf" or values.ndim > 1:
        raise ValueError(
            f"metric returned {type(result).__name__} of shape {values.shape}, must return a "
            "float, a 1-D array or a mapping of name -> float"
        )
    if values.shape != first.shape:
        raise ValueError(
            f"metric returned shape {values.shape} after {first.shape}; return as many values each "
            "time, with NaN where one is undefined"
        )
    return np.atleast_1d(values).astype(np.float64)


def _rows(views: Sequence[tuple[np.ndarray, ...]]) -> int:
    """Returns the number of rows that all arrays share."""
    shapes = [x.shape for view in views for x in view]
    if not shapes:
        raise ValueError("no arrays given; pass at least one with a row per sample")
    if not all(shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"arrays have shapes {', '.join(map(str, shapes))}, must share the first axis; pass "
            "one row per sample, in the same order"
        )
    return shapes[0][0]


def _draws(unit: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the row numbers of each resample, which takes whole units (N,) with replacement."""
    sizes = np.bincount(unit)
    members = np.split(np.argsort(unit, kind="stable"), np.cumsum(sizes)[:-1])
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        picked = rng.integers(len(sizes), size=len(sizes))
        alone = len(sizes) == len(unit)
        yield picked if alone else np.concatenate([members[i] for i in picked])


def _parts(unit: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yields the row numbers without each unit, or without each of `PARTS` random sets of them."""
    units = unit.max() + 1
    part = np.arange(units)
    if units > PARTS:
        part = np.random.default_rng(seed).permutation(units) % PARTS
    for left_out in range(min(units, PARTS)):
        yield np.flatnonzero(part[unit] != left_out)


def _packed(
    kind: type, like: Any, estimate: np.ndarray, limits: np.ndarray, *columns: np.ndarray
) -> Any:
    """Returns columns (K,) as `kind`, in the form in which the metric returned `like`."""
    columns = (estimate, *limits, *columns)
    if not isinstance(like, Mapping):
        scalar = np.ndim(like) == 0
        return kind(*(x[0].item() for x in columns) if scalar else columns, "bca")
    results = {name: kind(*(x[k].item() for x in columns), "bca") for k, name in enumerate(like)}
    nothing = {"low": np.nan, "high": np.nan, "method": "none"}
    if kind is Difference:
        nothing["p_value"] = np.nan
    return {
        name: result._replace(**nothing) if name in boundary.NAMES else result
        for name, result in results.items()
    }
