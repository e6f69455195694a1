"""Isotonic regression: a non-decreasing map per label, no steeper than asked, for large data."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lddu.calibration import inputs
from lddu.names import named

ArrayLike = jax.typing.ArrayLike

_SLACK = 1e-3  # by which rounding may exceed the bound on the slope
# Knots of the identity: between neighbouring powers of two, interpolation rounds nothing.
_POWERS = np.exp2(np.arange(-1, 15))
_IDENTITY = np.concatenate([-_POWERS[::-1], _POWERS])


class Isotonic(NamedTuple):
    """A fitted non-decreasing map, to be used with `apply_isotonic`.

    Attributes:
      knots: (K, C) logits at which the map bends, ascending. K is a power of two; a label with
        fewer knots repeats its last one.
      values: (K, C) calibrated logits at the knots.
    """

    knots: Array
    values: Array


@named(returns="state")
def fit_isotonic(
    logits: ArrayLike,
    labels: ArrayLike,
    smoothing: float = 1.0,
    steepest: float = 32.0,
    weights: ArrayLike | None = None,
) -> Isotonic:
    """Fits a non-decreasing map of bounded slope per label, on held-out data.

    First, pooling adjacent violators gives the exact isotonic regression: the non-decreasing values
    with the least squared error, and likewise the highest likelihood. So that no probability is 0
    or 1, `smoothing` pseudo-samples with label 1 are added at the lowest logit of a label and as
    many with label 0 at its highest. With smoothing 1, a block at an end gets the probability of
    Laplace's rule with one of its two pseudo-samples, 1 / (n + 1) if all n labels of the lowest
    are 0; a label of one class has the rule itself, (positives + 1) / (N + 2), everywhere. All
    probabilities lie in [s / (S + 2 s), 1 - s / (S + 2 s)], where S is the label's sum of weights
    and s the smoothing. Blocks inside hold both classes and are not smoothed.

    Then the slope is bounded. The exact regression is a staircase: logits that differ by a rounding
    error can lie on two sides of a step. It is replaced by the nearest map, in the largest
    difference of calibrated logits at the fitted points, that is non-decreasing and nowhere steeper
    than L = `steepest` / (standard deviation of the label's logits). With h the largest excess
    v_j - v_i - L (x_j - x_i) over pairs of fitted points x_i < x_j with exact values v, that map is
    within max(h, 0) / 2 of the exact one at every point, and no map of this slope is closer.

    Stored in the default float type, no map is steeper than 1.001 L. So errors in the logits grow
    by at most that factor (`max_slope` gives the factor of a fitted map). Rounding the values moves
    them by at most 2 eps M, with eps the epsilon of the type and M the largest absolute calibrated
    logit, and by at most 1003 eps M where knots lie so close that the slope demands it.

    The sum of negative log-likelihoods of the fitted data gets worse by at most
    smoothing * (softplus(-lowest logit) + softplus(highest logit)) + S max(h, 0) / 2, per label.

    Runs in NumPy, not under `jax.jit`; `apply_isotonic` does.

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities. Equal logits are one point.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      smoothing: Weight of the pseudo-samples at each end, > 0.
      steepest: Largest slope, > 0, in calibrated logits per standard deviation of a label's logits;
        `math.inf` gives the exact isotonic regression, interpolated.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      An `Isotonic`; a label without a known entry has the identity, up to logits of 2^14.

    Raises:
      ValueError: If shapes do not fit or values are NaN, infinite or out of range, or no label is
        known.

    References:
      Ayer et al., "An Empirical Distribution Function for Sampling with Incomplete Information",
      Annals of Mathematical Statistics, 1955.
      Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability
      Estimates", KDD 2002.
      Yeganova and Wilbur, "Isotonic Regression under Lipschitz Constraint", Journal of Optimization
      Theory and Applications, 2009; Kakade et al., "Efficient Learning of Generalized Linear and
      Single Index Models with Isotonic Regression", NeurIPS 2011 (both by least squares).

    Example:
      >>> import numpy as np
      >>> from lddu import calibration
      >>> state = calibration.fit_isotonic(np.array([[-1.0], [0.0], [2.0]]), [[0], [1], [1]])
      >>> odds = np.exp(calibration.apply_isotonic(state, [[-1.0], [1.0]]))
      >>> np.round(np.asarray(odds, float), 3).tolist()
      [[1.0], [2.0]]
    """
    inputs.positive("smoothing", smoothing)
    if not steepest > 0:
        raise ValueError(f"steepest={steepest} must be > 0; math.inf leaves the slope unbounded")
    if inputs.is_traced(logits, labels, weights):
        raise ValueError("fit_isotonic does not run under jax.jit; call it on concrete arrays")
    logits, labels, weights = map(np.asarray, inputs.fitting_data(logits, labels, weights))
    columns = zip(logits.T, labels.T, weights.T, strict=True)
    fitted = [_fit_label(x, y, w, smoothing, steepest) for x, y, w in columns]
    # A power of two, so that a map fitted anew seldom needs another compilation.
    size = 1 << (max(len(x) for x, _ in fitted) - 1).bit_length()
    padded = np.array([np.pad(f, ((0, 0), (0, size - f.shape[1])), "edge") for f in fitted])
    return Isotonic(*jnp.asarray(padded.transpose(1, 2, 0), logits.dtype))


@named(returns="entries")
def apply_isotonic(state: Isotonic, logits: ArrayLike) -> Array:
    """Calibrates logits by linear interpolation between knots; the map is constant beyond them.

    Logits that differ by e give calibrated logits that differ by at most `max_slope(state)` * e,
    and probabilities that differ by at most a quarter of that, apart from the rounding of the
    interpolation itself: a few epsilons of the float type times the largest calibrated logit.

    Args:
      state: Map from `fit_isotonic`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits. The order within a label is never inverted, but ties arise: the
      map is flat within pooled samples.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, state.knots.shape[1])
    return jax.vmap(jnp.interp, in_axes=-1, out_axes=-1)(logits, state.knots, state.values)


def max_slope(state: Isotonic) -> np.ndarray:
    """Returns the largest slope of each label's map: how much it can magnify an error.

    An error e in a logit becomes at most `max_slope(state) * e` in the calibrated logit, and at
    most `max_slope(state) * e / 4` in the probability.

    Args:
      state: Map from `fit_isotonic`.

    Returns:
      (C,) float64 slopes in calibrated logits per logit, >= 0; 0 for a constant map.

    Example:
      >>> from lddu import calibration
      >>> state = calibration.Isotonic(knots=[[0.0], [2.0], [3.0]], values=[[0.0], [1.0], [4.0]])
      >>> calibration.max_slope(state).tolist()
      [3.0]
    """
    run, rise = (np.diff(np.asarray(x, np.float64), axis=0) for x in state)
    jump = np.where(rise > 0, np.inf, 0.0)  # where a knot is repeated
    return np.divide(rise, run, out=jump, where=run > 0).max(0, initial=0.0)


def pool_adjacent_violators(
    positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pools neighbours until the share of positives nowhere decreases.

    Args:
      positive: (N,) weight of positives at each point, in the order that must not decrease.
      negative: (N,) weight of negatives; with `positive` it adds to > 0 at each point.

    Returns:
      Two (N,) arrays: `positive` and `negative`, summed over the block of each point.
    """
    blocks: list[tuple[float, float, int]] = []
    for pos, neg in zip(positive.tolist(), negative.tolist(), strict=True):
        size = 1
        while blocks and blocks[-1][0] * neg >= pos * blocks[-1][1]:
            block = blocks.pop()
            pos, neg, size = pos + block[0], neg + block[1], size + block[2]
        blocks.append((pos, neg, size))
    pos, neg, sizes = zip(*blocks, strict=True)
    return np.repeat(pos, sizes), np.repeat(neg, sizes)


def bound_slope(x: np.ndarray, values: np.ndarray, slope: float) -> np.ndarray:
    """Returns the non-decreasing values of bounded slope that are nearest to non-decreasing ones.

    Nearest in the largest absolute difference: midway between the largest such values that are
    nowhere above the given ones and the smallest that are nowhere below.

    Args:
      x: (N,) points, ascending.
      values: (N,) values at the points, non-decreasing.
      slope: > 0, the largest slope between neighbouring points.

    Returns:
      (N,) values at the points.
    """
    lower = _largest_below(x, values, slope)
    upper = -_largest_below(-x[::-1], -values[::-1], slope)[::-1]
    return (lower + upper) / 2


def _largest_below(x: np.ndarray, values: np.ndarray, slope: float) -> np.ndarray:
    below = values.tolist()
    for i, rise in enumerate((slope * np.diff(x)).tolist()):
        below[i + 1] = min(below[i + 1], below[i] + rise)
    return np.array(below)


def _fit_label(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, smoothing: float, steepest: float
) -> np.ndarray:
    """Returns (2, K) knots and values of one label."""
    used = weights > 0
    if not used.any():
        return np.stack([_IDENTITY, _IDENTITY])
    x, y, weights = x[used], y[used], weights[used]
    dtype = x.dtype
    # `jnp.interp` takes knots closer than half this step for one. Only logits next to 0 change.
    step = 2 * np.spacing(np.finfo(dtype).eps).astype(np.float64)
    x = np.round(x / step) * step
    slope = math.inf if np.ptp(x) == 0 else steepest / _deviation(x, weights)
    x, index = np.unique(x, return_inverse=True)
    positive = np.bincount(index, weights * y)
    negative = np.bincount(index, weights * (1 - y))
    positive[0] += smoothing
    negative[-1] += smoothing
    positive, negative = pool_adjacent_violators(positive, negative)
    exact = np.log(positive) - np.log(negative)
    values = exact if math.isinf(slope) else bound_slope(x, exact, slope)
    bends = _bends(x, values, np.finfo(dtype).eps * np.abs(values).max())
    x, values = x[bends], values[bends].astype(dtype).astype(np.float64)
    kept = _within_slope(x, values, slope * (1 + _SLACK))
    return np.stack([x[kept], values[kept]])


def _deviation(x: np.ndarray, weights: np.ndarray) -> float:
    x, weights = x - x.min(), weights.astype(np.float64)
    return math.sqrt(np.cov(x, aweights=weights, ddof=0))


def _bends(x: np.ndarray, values: np.ndarray, tolerance: float) -> list[int]:
    """Returns points between which straight lines pass all others within the tolerance."""
    bends, low, high = [0], -math.inf, math.inf
    for i in range(1, len(x)):
        run, rise = x[i] - x[bends[-1]], values[i] - values[bends[-1]]
        if not low * run <= rise <= high * run:
            bends.append(i - 1)
            run, rise = x[i] - x[i - 1], values[i] - values[i - 1]
            low, high = -math.inf, math.inf
        # Lines from the last bend that also pass this point.
        low, high = max(low, (rise - tolerance) / run), min(high, (rise + tolerance) / run)
    return bends if len(x) == 1 else [*bends, len(x) - 1]


def _within_slope(x: np.ndarray, values: np.ndarray, slope: float) -> list[int]:
    """Leaves out points that rounding of the values has made too steep to reach."""
    kept = [0]
    for i in range(1, len(x)):
        if values[i] - values[kept[-1]] <= slope * (x[i] - x[kept[-1]]):
            kept.append(i)
    return kept
