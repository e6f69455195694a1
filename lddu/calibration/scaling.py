"""Temperature scaling: one number (or one per label) that corrects over-confidence."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.calibration import inputs
from lddu.metrics import checks
from lddu.names import named

ArrayLike = jax.typing.ArrayLike

LOG_LIMIT = math.log(100.0)
_GRID = 33  # over log T in [-LOG_LIMIT, LOG_LIMIT]; odd, so that T = 1 is on it


class Temperature(NamedTuple):
    """A fitted scaling, to be used with `apply_temperature`.

    Attributes:
      temperature: () or, per label, (C,) temperatures, positive; above 1 they lower confidence.
      anchor: (C,) logits towards which a high temperature pulls.
    """

    temperature: Array
    anchor: Array


@named(returns="state")
def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    per_label: bool = False,
    anchor: ArrayLike | None = None,
    shrinkage: float = 0.0,
    weights: ArrayLike | None = None,
) -> Temperature:
    """Fits temperatures T by maximum (penalised) likelihood on held-out data.

    Minimises, deterministically, over log T within +-log 100

        sum over known labels of weight * BCE(anchor + (logits - anchor) / T, labels)
        + shrinkage / 2 * (log T)^2, summed over the temperatures fitted.

    The likelihood is convex in 1 / T. The bound gives separable data and one-class labels, whose
    optimum lies at 0 or infinity, a defined result; where T makes no difference it is 1. The
    objective is never worse than at T = 1.

    Args:
      logits: (N, C) finite logits of validation data.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      per_label: Whether each label gets a temperature of its own; otherwise all share one. Static
        under `jax.jit`.
      anchor: Scalar or (C,) logits towards which a high temperature pulls; None means 0, the
        classical method, which pulls towards p = 1/2. The log-odds of the base rates,
        log((positives + 1/2) / (negatives + 1/2)), keep rare labels rare.
      shrinkage: Precision of a Gaussian prior on log T around 0, >= 0. An observation has
        information p (1 - p) (logit - anchor)^2 / T^2 about log T, so that the unit is, roughly,
        effective observations that speak for T = 1.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      A `Temperature`; with `per_label`, a label without a known entry has T = 1.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite, out of
        range or negative, or no label is known.

    References:
      Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Example:
      >>> import numpy as np
      >>> from lddu import calibration
      >>> logits, labels = np.array([[4.0], [4.0], [4.0], [-4.0]]), [[1], [1], [0], [0]]
      >>> state = calibration.fit_temperature(logits, labels)
      >>> round(float(state.temperature), 2)  # 3 of 4 decisions are right: 4 / T = log 3
      3.64
    """
    anchor = jnp.zeros(()) if anchor is None else anchor
    logits, labels, weights = inputs.fitting_data(logits, labels, weights, math.inf)
    _check_anchor(anchor, logits)
    if not inputs.is_traced(anchor):
        checks.finite("anchor", anchor)
    if not inputs.is_traced(shrinkage) and not 0 <= shrinkage < math.inf:
        raise ValueError(f"shrinkage={shrinkage} must be finite and >= 0; 0 switches it off")
    return _fit(logits, labels, weights, anchor, shrinkage, per_label)


@named(returns="entries")
def apply_temperature(state: Temperature, logits: ArrayLike) -> Array:
    """Rescales logits: `anchor + (logits - anchor) / temperature`.

    Args:
      state: Scaling from `fit_temperature`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; the order within a label is unchanged.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, len(state.anchor))
    return state.anchor + (logits - state.anchor) / state.temperature


def _check_anchor(anchor: ArrayLike, logits: ArrayLike) -> None:
    labels = jnp.shape(logits)[1]
    if jnp.shape(anchor) not in ((), (labels,)):
        raise ValueError(
            f"anchor has shape {jnp.shape(anchor)}, must be a scalar or one logit per label, "
            f"({labels},)"
        )


@functools.partial(jax.jit, static_argnames="per_label")
def _fit(
    logits: Array,
    labels: Array,
    weights: Array,
    anchor: Array,
    shrinkage: Array,
    per_label: bool,
) -> Temperature:
    anchor = jnp.broadcast_to(jnp.asarray(anchor, logits.dtype), logits.shape[1:])
    distance = logits - anchor

    def total(x: Array) -> Array:
        return jnp.sum(weights * x, axis=0 if per_label else None)

    def objective(log_t: Array) -> Array:
        z = anchor + distance * jnp.exp(-log_t)
        return total(jax.nn.softplus(z) - labels * z) + shrinkage / 2 * jnp.square(log_t)

    def slope(log_t: Array) -> Array:
        scaled = distance * jnp.exp(-log_t)
        return total((labels - jax.nn.sigmoid(anchor + scaled)) * scaled) + shrinkage * log_t

    # The penalty can make two valleys, so a grid first finds the deeper. Within it the zero of the
    # slope is bisected: in float32, values of the objective near the optimum are all equal.
    grid = jnp.linspace(-LOG_LIMIT, LOG_LIMIT, _GRID, dtype=logits.dtype)
    best = jnp.argmin(jax.lax.map(objective, grid), axis=0)
    low = grid[jnp.maximum(best - 1, 0)]
    high = grid[jnp.minimum(best + 1, _GRID - 1)]

    def bisect(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        falling = slope(middle) < 0
        return jnp.where(falling, middle, low), jnp.where(falling, high, middle)

    bisections = jnp.finfo(logits.dtype).nmant + 1  # down to the resolution of the type
    low, high = jax.lax.fori_loop(0, bisections, bisect, (low, high))
    log_t = (low + high) / 2
    better = objective(log_t) < objective(jnp.zeros_like(log_t))
    return Temperature(jnp.exp(jnp.where(better, log_t, 0.0)), anchor)
