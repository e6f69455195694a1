"""The convex problem behind Platt, beta and matrix scaling, solved by Newton's method.

The solution is deterministic, and accurate in float32 for features up to about 1e4.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_ITERATIONS = 100  # quadratic convergence needs about 10; separable data some more
_HALVINGS = 40  # of a step; the last is 1e-12 of it
_HIGHEST = jax.lax.Precision.HIGHEST  # accelerators round products to fewer bits by default


def fit_logistic(
    features: Array,
    labels: Array,
    weights: Array,
    center: Array,
    precision: Array,
    nonnegative: int = 0,
) -> Array:
    """Fits a logistic regression with a Gaussian prior and bounds on some coefficients.

    Minimises over theta, with the first `nonnegative` coefficients >= 0,

        sum_n weights_n BCE(features_n . theta, labels_n)
        + sum_f precision_f / 2 (theta_f - center_f)^2

    Each step solves the quadratic model of the objective under its bounds (by enumerating active
    sets) and is halved until the objective does not rise. It starts at `center`, and so never ends
    worse than there.

    Args:
      features: (N, F) features.
      labels: (N,) labels in [0, 1].
      weights: (N,) weights, >= 0.
      center: (F,) mean of the prior, within the bounds.
      precision: (F,) precision of the prior, > 0, so that an optimum exists and is unique.
      nonnegative: Number of leading coefficients that are bounded; 2 to this power is the number of
        systems solved in each step.

    Returns:
      (F,) coefficients.
    """

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        theta, _, iteration = carry
        z = _dot(features, theta)
        error = weights * (jax.nn.sigmoid(z) - labels)
        gradient = _dot(error, features) + precision * (theta - center)
        curvature = weights * jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)
        hessian = _dot(features.T * curvature, features) + jnp.diag(precision)
        direction = _quadratic_step(gradient, hessian, theta, nonnegative)
        along = _dot(features, direction)
        # Near the optimum a step changes less than the rounding of the sum.
        tolerance = 1e-6 * jnp.dot(weights, jax.nn.softplus(z) - labels * z)

        def rejected(size: Array) -> Array:
            moved = z + size * along
            prior = size * precision * direction
            rise = jnp.dot(
                weights, jax.nn.softplus(moved) - jax.nn.softplus(z) - labels * size * along
            ) + jnp.dot(prior, theta - center + size / 2 * direction)
            return ~(rise <= tolerance)  # true for NaN too

        size, halvings = jax.lax.while_loop(
            lambda s: rejected(s[0]) & (s[1] < _HALVINGS),
            lambda s: (s[0] / 2, s[1] + 1),
            (jnp.ones_like(theta[0]), 0),
        )
        moved = theta + size * direction
        moved = moved.at[:nonnegative].max(0.0)  # rounding may have brought it below
        moved = jnp.where(halvings < _HALVINGS, moved, theta)
        still = jnp.abs(moved - theta) <= 1e-6 * (1e-3 + jnp.abs(theta))
        return moved, jnp.all(still), iteration + 1

    theta, *_ = jax.lax.while_loop(
        lambda c: ~c[1] & (c[2] < _ITERATIONS), step, (center, jnp.asarray(False), 0)
    )
    return theta


def _dot(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _quadratic_step(gradient: Array, hessian: Array, theta: Array, nonnegative: int) -> Array:
    """Returns the d that minimises gradient . d + d . hessian d / 2, with theta + d in bounds."""
    # Scaled to a unit diagonal, on which a ridge of the order of rounding keeps it invertible.
    scale = jax.lax.rsqrt(jnp.diag(hessian))
    ridge = 10 * jnp.finfo(theta.dtype).eps * len(theta)
    hessian = hessian * jnp.outer(scale, scale) + ridge * jnp.eye(len(theta), dtype=theta.dtype)
    gradient, theta = gradient * scale, theta / scale

    def solve(free: Array) -> tuple[Array, Array]:
        to_zero = jnp.where(free, 0.0, -theta)
        system = jnp.where(jnp.outer(free, free), hessian, jnp.eye(len(theta), dtype=theta.dtype))
        d = jnp.linalg.solve(system, -(gradient + _dot(hessian, to_zero)))
        d = jnp.where(free, d, to_zero)
        value = jnp.dot(gradient, d) + jnp.dot(d, _dot(hessian, d)) / 2
        allowed = jnp.all((theta + d)[:nonnegative] >= 0)
        return d, jnp.where(allowed, value, jnp.inf)

    free = np.ones((2**nonnegative, len(theta)), bool)
    free[:, :nonnegative] = list(itertools.product((True, False), repeat=nonnegative))
    directions, values = jax.vmap(solve)(jnp.asarray(free))
    return directions[jnp.argmin(values)] * scale
