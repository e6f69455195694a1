"""The expected sigmoid of a Gaussian logit: a logistic-normal probability, right in both tails.

With u = exp(-|l|), sigmoid(-l) is u / (1 + u) for l > 0 and 1 / (1 + u) for l < 0. A polynomial P
of degree K - 1 takes the place of 1 / (1 + u), so that E[sigmoid(-l)] is a sum over powers of u
of E[exp(-a l); l > 0] and E[exp(a l); l < 0], which have a closed form. P is chosen such that
R(u) = 1 - (1 + u) P(u) is small on [0, 1]: a stretched Chebyshev polynomial of degree K. Since
sigmoid(-l) changes by the factor 1 - R at every l, its expectation has no larger relative error,
whatever mean and variance are. R and its slope are 0 at u = 1, where the two sides meet, which
makes the derivatives as good.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Polynomial

# log(erfcx(y) / t) = sum of c_i t^i with t = 2 / (2 + y), for y >= 0: a minimax fit of degree 9 to
# `scipy.special.erfcx` by iteratively reweighted least squares, with an error of 1e-7.
_ERFCX = (
    -1.26551222,
    1.00002265,
    0.374125038,
    0.0963881328,
    -0.183966175,
    0.271351607,
    -1.12110002,
    1.47325566,
    -0.813325851,
    0.168761095,
)
_SMALLEST_VAR = 1e-18  # below, the sigmoid does not change within a standard deviation
_STEPS = 4  # of Newton's method; the log-odds are convex above 0, so it converges from any start


def relative_error(terms: int) -> float:
    """Returns the bound on the relative error of E[sigmoid(l)] and E[sigmoid(-l)].

    The log-odds have the same bound as an error, and the probability has a quarter of it.

    Args:
      terms: Number of terms K of the series, at least 3.
    """
    highest = math.cosh(terms * math.acosh(2 + math.cos(math.pi / terms)))
    return 2 / (highest + (-1) ** terms)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def log_odds(mean: Array, var: Array, terms: int) -> Array:
    """Returns the log-odds (...,) of E[sigmoid(l)] for l ~ N(mean, var), by a series of K terms."""
    return _log_odds_and_slopes(mean, var, terms)[0]


@log_odds.defjvp
def _(terms, primals, tangents):
    value, in_mean, in_var = _log_odds_and_slopes(*primals, terms)
    return value, in_mean * tangents[0] + in_var * tangents[1]


def mean_for(target: Array, var: Array, terms: int) -> Array:
    """Returns the means (...,) for which `log_odds` gives the target: its inverse, by Newton."""
    still = jax.lax.stop_gradient
    # The slope is smallest where the mean is 0, and there about that of the probit approximation.
    probit = jax.lax.rsqrt(1.0 + (jnp.pi / 8.0) * still(var))
    mean = target / probit
    for _ in range(_STEPS):
        # The last step alone carries the gradient, that of an implicit function.
        mean = still(mean)
        value, in_mean, in_var = _log_odds_and_slopes(mean, still(var), terms)
        missing = target - value - in_var * (var - still(var))
        mean = mean + missing / jnp.maximum(in_mean, 0.9 * probit)
    return mean


@functools.partial(jax.jit, static_argnums=2)  # traced once for all steps
def _log_odds_and_slopes(mean: Array, var: Array, terms: int) -> tuple[Array, Array, Array]:
    """Returns the log-odds and their derivatives with respect to mean and variance."""
    kind = jnp.result_type(mean, var, jnp.float32)
    x, v = jnp.broadcast_arrays(jnp.asarray(mean, kind), jnp.asarray(var, kind))
    both = jnp.stack([x, -x])
    shape = (-1, *[1] * both.ndim)
    powers = jnp.arange(terms + 1, dtype=kind).reshape(shape)
    beyond = _log_beyond(powers, both, v)
    # Of E[sigmoid(-l)], then, with the two signs swapped, of E[sigmoid(l)].
    right, left = beyond[1:], beyond[:-1, ::-1]
    k, coefficients = powers[:-1], jnp.asarray(_coefficients(terms), kind).reshape(shape)
    scale = jnp.maximum(right[0], left[0])
    right, left = jnp.exp(right - scale), jnp.exp(left - scale)

    def total(of_right, of_left):
        return (coefficients * (of_right * right + of_left * left)).sum(0)

    value = total(1.0, 1.0)
    low, high = scale + jnp.log(value)
    slopes = total(-(k + 1), k) / value
    curvatures = total(jnp.square(k + 1), jnp.square(k)) / value
    results = (
        high - low,
        -slopes[1] - slopes[0],
        0.5 * (curvatures[1] - curvatures[0]),
    )
    return tuple(r.astype(jnp.result_type(mean, var)) for r in results)


def _log_beyond(a: Array, mean: Array, var: Array) -> Array:
    """Returns log E[exp(-a l); l > 0] for l ~ N(mean, var)."""
    std = jnp.sqrt(jnp.maximum(var, _SMALLEST_VAR))
    tilted = (mean - a * var) / std
    # Half of erfcx, that is the upper tail of a standard normal by exp(-tilted^2 / 2).
    t = 2.0 / (2.0 + jnp.abs(tilted) * math.sqrt(0.5))
    log_tail = jnp.log(0.5 * t) + functools.reduce(lambda p, c: p * t + c, _ERFCX[::-1])
    inside = -a * (mean - 0.5 * a * var)
    inside += jnp.log1p(-jnp.exp(log_tail - 0.5 * jnp.square(tilted)))
    return jnp.where(tilted > 0, inside, log_tail - 0.5 * jnp.square(mean / std))


@functools.cache
def _coefficients(terms: int) -> np.ndarray:
    """Returns the coefficients (K,) of P, by ascending power."""
    # u = 0 is the end of the Chebyshev polynomial's interval, u = 1 its last inner extremum.
    x = Polynomial([1.0, -1.0 - math.cos(math.pi / terms)])
    chebyshev = [Polynomial([1.0]), x]
    for _ in range(terms - 1):
        chebyshev.append(2 * x * chebyshev[-1] - chebyshev[-2])
    residual = chebyshev[-1] + (-1) ** terms
    return ((1 - residual / residual(-1)) // Polynomial([1.0, 1.0])).coef
