"""Beta calibration: three parameters per label, for probabilities whose two ends err differently.

The two ends are the probabilities near 0 and those near 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from lddu.calibration import inputs
from lddu.calibration.logistic import fit_logistic
from lddu.names import named

ArrayLike = jax.typing.ArrayLike


class Beta(NamedTuple):
    """A fitted map, to be used with `apply_beta`.

    Attributes:
      low: (C,) coefficient of log p, >= 0, which dominates near p = 0; a in the paper.
      high: (C,) coefficient of -log(1 - p), >= 0, which dominates near p = 1; b in the paper.
      bias: (C,) added logits; c in the paper.
    """

    low: Array
    high: Array
    bias: Array


@named(returns="state")
def fit_beta(
    logits: ArrayLike,
    labels: ArrayLike,
    shrinkage: float = 1.0,
    weights: ArrayLike | None = None,
) -> Beta:
    """Fits logit = low * log p - high * log(1 - p) + bias per label, on held-out data.

    Here p = sigmoid(logits). Minimises, deterministically, over low >= 0, high >= 0 and bias

        sum over known labels of weight * BCE(low * log p - high * log(1 - p) + bias, labels)
        + shrinkage / 2 * ((low - 1)^2 + (high - 1)^2 + bias^2), for each label.

    Where low = high it is Platt scaling; otherwise the map is steeper at one end. It is the right
    family where p follows a beta distribution in each class. The problem is convex and its prior is
    centred on the identity, so that the likelihood of the fitted data never gets worse, and
    separable data, one-class labels and a handful of samples have one finite optimum.

    Args:
      logits: (N, C) finite logits of validation data; `lddu.calibration.logit` makes them from
        probabilities.
      labels: (N, C) labels in [0, 1], hard or soft; NaN where unknown.
      shrinkage: Precision of the Gaussian prior, > 0; roughly a number of observations that speak
        for the identity.
      weights: (N,) weights of the rows, >= 0; None weights all rows equally.

    Returns:
      A `Beta`; a label without a known entry has the identity, low = high = 1 and bias = 0.

    Raises:
      ValueError: If shapes do not fit or (outside of `jax.jit`) values are NaN, infinite or out of
        range, or no label is known.

    References:
      Kull, Silva Filho and Flach, "Beta calibration: a well-founded and easily implemented
      improvement on logistic calibration for binary classifiers", AISTATS 2017.
    """
    inputs.positive("shrinkage", shrinkage)
    return _fit(*inputs.fitting_data(logits, labels, weights), shrinkage)


@named(returns="entries")
def apply_beta(state: Beta, logits: ArrayLike) -> Array:
    """Calibrates logits: `low * log p - high * log(1 - p) + bias` with p = sigmoid(logits).

    Args:
      state: Map from `fit_beta`.
      logits: (..., C) logits.

    Returns:
      (..., C) calibrated logits; the order within a label is never inverted.

    Raises:
      ValueError: If C differs from the number of labels fitted.
    """
    logits = inputs.fitted_labels(logits, len(state.bias))
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return state.low * log_p - state.high * log_q + state.bias


@jax.jit
def _fit(logits: Array, labels: Array, weights: Array, shrinkage: Array) -> Beta:
    center = jnp.array([1.0, 1.0, 0.0], logits.dtype)

    def one(column: tuple[Array, Array, Array]) -> Array:
        x, y, w = column
        features = [jax.nn.log_sigmoid(x), -jax.nn.log_sigmoid(-x), jnp.ones_like(x)]
        precision = jnp.full_like(center, shrinkage)
        return fit_logistic(jnp.stack(features, axis=1), y, w, center, precision, 2)

    return Beta(*jax.lax.map(one, (logits.T, labels.T, weights.T)).T)
