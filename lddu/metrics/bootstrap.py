"""How sure is a score, and a difference of scores? Percentile bootstrap over samples or groups.

The metric is any function of arrays whose first axis are the samples, such as those of this
package. It returns a float, a 1-D array (one value per label) or a mapping of name -> float (as
`summarise` does), and the results here take the same form.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Metric = Callable[..., float | np.ndarray | Mapping[str, float]]


class Interval(NamedTuple):
    """A score and its percentile interval; floats, or (K,) arrays if the metric returns those.

    Attributes:
      estimate: The metric on all rows.
      low: Lower end of the interval; NaN without replicates.
      high: Upper end.
      replicates: Number of resamples on which the metric was finite. The others, such as resamples
        without positives, are left out, so an interval from few of them deserves no trust.
    """

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray
    replicates: int | np.ndarray


class Difference(NamedTuple):
    """How much b scores above a, and whether that could be chance; floats or (K,) arrays.

    Attributes:
      estimate: The metric of b minus the metric of a, on all rows.
      low: Lower end of the percentile interval of the difference; NaN without replicates.
      high: Upper end.
      p_value: Two-sided, 2 (1 + k) / (1 + replicates), at most 1, where k counts the differences of
        the rarer sign; a difference of 0 counts to both signs. So it is at most 1 - level about
        when the interval leaves out 0, and never below 2 / (1 + replicates).
      replicates: Number of resamples on which the metric of both was finite.
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
    """Interval of a metric by drawing rows with replacement.

    It says how the score would vary over test sets of this size, for this one trained model; the
    spread over training seeds comes on top. Percentile intervals of few rows (say, below 30, or of
    a metric that rests on few positives) are too narrow.

    Args:
      metric: Called as `metric(*arrays)` on resampled rows. May return NaN where it is undefined.
      *arrays: (N, ...) each. The same rows are drawn from all of them.
      resamples: Number of resamples.
      level: Of the interval, between 0 and 1.
      seed: The result is a function of it. Equal seeds and N draw the same rows.
      groups: (N,) ids. Rows that belong together (frames of a film, utterances of a speaker) are
        drawn together, as whole groups with replacement; without it their correlation makes the
        interval too narrow.
      progress: Whether to show a bar.

    Returns:
      An `Interval`, or one per name if the metric returns a mapping.

    Raises:
      ValueError: If arrays differ in length, there are fewer than two rows or groups, an option is
        out of range, or the metric returns something else than documented.

    References:
      Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993.
      Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press
        1997 (resampling of groups: section 3.8).
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
    """Difference of a metric between two models on the same rows.

    Both models are scored on the same resamples, so that what is easy or hard for both cancels.

    Args:
      metric: Called as `metric(*a, *shared)` and `metric(*b, *shared)` on resampled rows.
      a: (N, ...) array of the first model, such as its probabilities, or a tuple of such arrays.
      b: The same of the second model. A positive difference means that b has the larger value.
      *shared: (N, ...) arrays that go to both, such as labels.
      resamples: As in `bootstrap`, and so the arguments that follow.
      level: Of the interval.
      seed: The result is a function of it.
      groups: (N,) ids of rows that are drawn together.
      progress: Whether to show a bar.

    Returns:
      A `Difference`, or one per name if the metric returns a mapping. With many metrics or models,
      correct the p-values for their number.

    Raises:
      ValueError: As `bootstrap` does.

    References:
      Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004.
      Davison and Hinkley, "Bootstrap Methods and their Application", Cambridge University Press
        1997.
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
    """Scores of V models: one result of the metric, its values (V, K), replicates (V, R, K)."""
    if not resamples >= 1:
        raise ValueError(f"resamples={resamples} is not at least 1; 1000 is usual")
    if not 0 < level < 1:
        raise ValueError(f"level={level} must lie between 0 and 1; 0.95 is usual")
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
    """What the metric returned, as (K,), checked to be of the form of its first result."""
    names, wanted = (tuple(x) if isinstance(x, Mapping) else None for x in (result, like))
    if names != wanted:
        raise ValueError(f"metric returned names {names} after {wanted}; return the same each time")
    found, first = (
        np.asarray(list(x.values()) if isinstance(x, Mapping) else x) for x in (result, like)
    )
    if found.dtype.kind not in "biuf" or found.ndim > 1:
        raise ValueError(
            f"metric returned {type(result).__name__} of shape {found.shape}, must return a float, "
            "a 1-D array or a mapping of name -> float"
        )
    if found.shape != first.shape:
        raise ValueError(
            f"metric returned shape {found.shape} after {first.shape}; return as many values each "
            "time, with NaN where one is undefined"
        )
    return np.atleast_1d(found).astype(np.float64)


def _rows(views: Sequence[tuple[np.ndarray, ...]]) -> int:
    """The number of rows that all arrays share."""
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
    """Row numbers of each resample. Checks at once, draws when asked."""
    members = None
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n,):
            raise ValueError(f"groups has shape {groups.shape}, must be one id per row, ({n},)")
        if np.any(groups != groups):
            raise ValueError("groups holds NaN; give such rows an id of their own")
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
    """Ends (2, K) of the central interval of replicates (R, K), NaN left out."""
    ends = np.full((2, table.shape[1]), np.nan)
    for k, column in enumerate(table.T):
        kept = column[~np.isnan(column)]
        if kept.size:
            ends[:, k] = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return ends


def _packed(kind: type, like: Any, *columns: np.ndarray) -> Any:
    """Columns (K,) as `kind`, in the form in which the metric returned `like`."""
    if isinstance(like, Mapping):
        return {name: kind(*(x[k].item() for x in columns)) for k, name in enumerate(like)}
    return kind(*(x[0].item() for x in columns)) if np.ndim(like) == 0 else kind(*columns)
