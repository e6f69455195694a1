"""Percentile bootstrap over samples or groups: the uncertainty of scores and their differences.

A metric is any function of arrays whose first axis is the samples, such as those of this package.
It returns a float, a 1-D array (one value per label) or a mapping of name -> float (as `summarise`
does), and the results here take the same form.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lddu.metrics import checks

Metric = Callable[..., float | np.ndarray | Mapping[str, float]]


class Interval(NamedTuple):
    """A score and its percentile interval; floats, or (K,) arrays if the metric returns those.

    Attributes:
      estimate: The metric on all rows.
      low: Lower end of the interval; NaN without replicates.
      high: Upper end.
      replicates: Number of resamples on which the metric was finite. The others, such as resamples
        without positives, are left out; do not trust an interval from few replicates.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    replicates: int | np.ndarray


class Difference(NamedTuple):
    """By how much model b scores above model a; floats, or (K,) arrays if the metric returns those.

    Attributes:
      estimate: The metric of b minus the metric of a, on all rows.
      low: Lower end of the percentile interval of the difference; NaN without replicates.
      high: Upper end.
      p_value: Two-sided p-value of no difference: 2 (1 + k) / (1 + replicates), at most 1, where k
        counts the differences of the rarer sign and 0 counts to both signs. It is at most 1 - level
        about when the interval excludes 0, and never below 2 / (1 + replicates).
      replicates: Number of resamples on which the metric was finite for both models.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    p_value: float | np.ndarray
    replicates: int | np.ndarray


def bootstrap(
    metric: Metric,
    *arrays: ArrayLike,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    progress: bool = False,
) -> Interval | dict[str, Interval]:
    """Computes the interval of a metric by drawing rows with replacement.

    It says how the score would vary over test sets of this size, for this one trained model; the
    spread over training seeds comes on top. Percentile intervals of few rows (say, below 30, or of
    a metric that rests on few positives) are too narrow.

    Args:
      metric: Function called as `metric(*arrays)` on resampled rows. It may return NaN where it is
        undefined.
      *arrays: (N, ...) arrays. The same rows are drawn from all of them.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the interval, between 0 and 1.
      seed: Seed of the draws. Equal seeds, N and groups draw the same rows.
      groups: (N,) group of each row. Rows that belong together (frames of a film, utterances of a
        speaker) are drawn together, as whole groups with replacement; with None, their correlation
        would make the interval too narrow.
      progress: Whether to show a progress bar.

    Returns:
      An `Interval`, or one per name if the metric returns a mapping.

    Raises:
      ValueError: If arrays differ in length, there are fewer than two rows or groups, an option is
        out of range, or the metric returns something else than documented.

    References:
      Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993.
      Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press
        1997 (resampling of groups: section 3.8).

    Example:
      >>> from lddu import metrics
      >>> interval = metrics.bootstrap(metrics.brier, [[0.9], [0.2], [0.6]], [[1], [0], [0]])
      >>> interval.low <= interval.estimate <= interval.high, interval.replicates
      (True, 1000)
    """
    views = [tuple(map(np.asarray, arrays))]
    like, (estimate,), (table,) = _scores(metric, views, resamples, level, seed, groups, progress)
    return _packed(Interval, like, estimate, *_percentiles(table, level), _count(table))


def paired_bootstrap(
    metric: Metric,
    a: ArrayLike | tuple[ArrayLike, ...],
    b: ArrayLike | tuple[ArrayLike, ...],
    *shared: ArrayLike,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    progress: bool = False,
) -> Difference | dict[str, Difference]:
    """Computes the difference of a metric between two models on the same rows, with its interval.

    Both models are scored on the same resamples, so that what is easy or hard for both cancels.

    Args:
      metric: Function called as `metric(*a, *shared)` and `metric(*b, *shared)` on resampled rows.
        It may return NaN where it is undefined.
      a: (N, ...) array of the first model, such as its probabilities, or a tuple of such arrays.
      b: The same of the second model. A positive difference means that b has the larger value.
      *shared: (N, ...) arrays passed for both models, such as labels.
      resamples: Number of bootstrap resamples.
      level: Confidence level of the interval, between 0 and 1.
      seed: Seed of the draws. Equal seeds, N and groups draw the same rows.
      groups: (N,) group of each row; whole groups are drawn, as in `bootstrap`.
      progress: Whether to show a progress bar.

    Returns:
      A `Difference`, or one per name if the metric returns a mapping. With many metrics or models,
      correct the p-values for their number.

    Raises:
      ValueError: If arrays differ in length, there are fewer than two rows or groups, an option is
        out of range, or the metric returns something else than documented.

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
    like, estimates, tables = _scores(metric, views, resamples, level, seed, groups, progress)
    estimate, table = estimates[1] - estimates[0], tables[1] - tables[0]
    replicates = _count(table)
    rarer = np.minimum(np.sum(table <= 0, axis=0), np.sum(table >= 0, axis=0))
    p_value = np.minimum(2 * (1 + rarer) / (1 + replicates), 1.0)
    p_value = np.where(replicates > 0, p_value, np.nan)
    return _packed(Difference, like, estimate, *_percentiles(table, level), p_value, replicates)


def _scores(
    metric: Metric,
    views: Sequence[tuple[np.ndarray, ...]],
    resamples: int,
    level: float,
    seed: int,
    groups: ArrayLike | None,
    progress: bool,
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Returns one result of the metric, its values (V, K) and replicates (V, R, K) of V models."""
    checks.at_least_one("resamples", resamples)
    checks.fraction("level", level)
    draws = _draws(_rows(views), resamples, seed, groups)
    like = metric(*views[0])
    estimates = np.stack([_values(like, like), *(_values(metric(*v), like) for v in views[1:])])
    if progress:
        from tqdm.auto import tqdm

        draws = tqdm(draws, total=resamples, desc="bootstrap")
    tables = [[_values(metric(*(x[rows] for x in v)), like) for v in views] for rows in draws]
    tables = np.stack(tables, axis=1)
    return like, estimates, np.where(np.isfinite(tables), tables, np.nan)


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


def _draws(n: int, resamples: int, seed: int, groups: ArrayLike | None) -> Iterator[np.ndarray]:
    """Returns an iterator over the row numbers of each resample; checks arguments at once."""
    members = None
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,):
            raise ValueError(f"groups has shape {groups.shape}, must be one group per row, ({n},)")
        if np.any(groups != groups):
            raise ValueError("groups holds NaN; give such rows a group of their own")
        _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        members = np.split(np.argsort(index, kind="stable"), np.cumsum(sizes)[:-1])
    units = n if members is None else len(members)
    if units < 2:
        unit = "row" if members is None else "group"
        raise ValueError(f"{units} {unit} of {n} rows: a bootstrap needs at least two {unit}s")
    rng = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        picked = rng.integers(units, size=units)
        return picked if members is None else np.concatenate([members[i] for i in picked])

    return (draw() for _ in range(resamples))


def _count(table: np.ndarray) -> np.ndarray:
    return np.count_nonzero(~np.isnan(table), axis=0)


def _percentiles(table: np.ndarray, level: float) -> np.ndarray:
    """Returns the ends (2, K) of the central interval of replicates (R, K), without NaN."""
    ends = np.full((2, table.shape[1]), np.nan)
    for k, column in enumerate(table.T):
        kept = column[~np.isnan(column)]
        if kept.size:
            ends[:, k] = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return ends


def _packed(kind: type, like: Any, *columns: np.ndarray) -> Any:
    """Returns columns (K,) as `kind`, in the form in which the metric returned `like`."""
    if isinstance(like, Mapping):
        return {name: kind(*(x[k].item() for x in columns)) for k, name in enumerate(like)}
    return kind(*(x[0].item() for x in columns)) if np.ndim(like) == 0 else kind(*columns)
